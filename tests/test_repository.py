"""Test that the committed leaderboards follow from their records, and that the README's code runs."""

import inspect
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from asrnn_bench.cli.app import app
from asrnn_bench.results.boards import boards
from asrnn_bench.results.publishing import board_files
from asrnn_bench.results.record_files import read_records

ROOT = Path(__file__).parents[1]


def test_the_committed_leaderboards_are_what_their_records_give() -> None:
    found, faults = read_records(ROOT / "leaderboards")
    assert found
    assert not faults
    for path, text in board_files(ROOT / "leaderboards", boards(found)).items():
        assert path.read_text() == text


def test_the_readmes_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    modules = next(block for block in blocks if "PermutedMNIST" in block)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(modules, found)
    assert found["trainer"].global_step == 20
    assert math.isfinite(float(found["trainer"].callback_metrics["train/loss"]))


def test_the_readmes_table_is_the_one_that_the_command_printed() -> None:
    printed = (ROOT / "leaderboards" / "long-range.quick.md").read_text().split("\n\n")
    tables = [part.strip() for part in printed if part.startswith("| model |")]
    assert len(tables) == 1
    assert [table for table in tables if table not in (ROOT / "README.md").read_text()] == []


def test_the_page_of_commands_names_every_flag_and_every_verb() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    run = next(parameter.callback for parameter in [app.registered_callback] if parameter is not None)
    assert run is not None
    flags = [f"--{name.replace('_', '-')}" for name in inspect.signature(run).parameters if name != "context"]
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert [flag for flag in flags if flag not in page] == []
    assert [verb for verb in verbs if f"`asrnn-bench {verb}" not in page] == []


def test_the_example_is_short() -> None:
    assert len((ROOT / "examples" / "my_cell.py").read_text().splitlines()) < 40


def test_the_lowest_versions_that_ci_runs_are_those_that_the_project_admits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    admitted = dict(dependency.split(">=") for dependency in project["dependencies"])
    pinned = dict(
        line.split("==")
        for line in (ROOT / "tests" / "lowest.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    assert {name: Version(version) for name, version in admitted.items()} == {n: Version(v) for n, v in pinned.items()}
