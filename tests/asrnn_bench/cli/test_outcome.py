"""A run prints its plan and its outcome even while the file server of its directories fails."""

import errno
import importlib
from pathlib import Path

import pytest
from failing_disk import FailingDisk
from rich.console import Console

from asrnn_bench.cli import invoke
from asrnn_bench.cli.outcome import print_outcome
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.records.record import without_result
from asrnn_bench.runner import Outcome


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no job directory can be read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs", tmp_path / "runs"):
        FailingDisk(monkeypatch, Path(name), errno.EIO).failing = True


@pytest.mark.usefixtures("failing")
def test_the_dry_run_shows_the_plan(tiny_suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--suite", str(tiny_suite), "--dry-run"]) == 0
    assert "jobs, " in capfd.readouterr().out


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(
    ("words", "module", "name"),
    [(["--suite", "long-range"], "run", "execute"), (["search"], "search", "climb")],
)
def test_an_interrupt_is_said_and_gives_its_own_status(
    words: list[str], module: str, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(f"asrnn_bench.cli.{module}"), name, interrupted)
    assert invoke(words) == 130
    assert "interrupted: 0 of " in capfd.readouterr().out


@pytest.mark.usefixtures("failing")
def test_a_log_that_cannot_be_found_is_left_out_of_what_is_said_of_a_run(
    tiny_suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(load_suite(str(tiny_suite)), Request())
    records = [without_result(job, "failed", "it cannot be read") for job in plan.jobs]
    print_outcome(Outcome(plan, records, 0, []), Folders(), Console(width=200))
    said = capfd.readouterr().out
    assert "it cannot be read" in said
    assert "log of" not in said
    assert "jobs were started now" in said
