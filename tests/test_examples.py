"""The examples as their readers use them: a package that is installed, and one file that makes a model."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from in_process import call_here
from torch import Tensor

from asrnn import build_cell
from asrnn_bench.cli import invoke
from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import read_record
from asrnn_bench.supervising.forked import Template

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "asrnn-example-cell"
CELL = PACKAGE / "asrnn_pendulums.py"
RUN = ("--suite", "long-range", "--tasks", "permuted-mnist", "--models", "pendulums", "--max-steps", "2")


def asrnn_bench(folder: Path, path: list[Path], *words: str) -> str:
    """What the command line prints, in a process and a folder of its own, with a path of imports before all others."""
    plain = {name: value for name, value in os.environ.items() if name not in ("ASRNN_DATA_DIR", "COLUMNS")}
    found = subprocess.run(
        [sys.executable, "-m", "asrnn_bench", *words],
        cwd=folder,
        env=plain | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr
    return found.stdout


def row(listed: str) -> str:
    (line,) = [line for line in listed.splitlines() if line.startswith("pendulums ")]
    return " ".join(line.split())


def record(folder: Path) -> Record:
    (path,) = folder.glob("runs/long-range/permuted-mnist/pendulums/*/result.json")
    return read_record(path.read_bytes())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the example's package, without a network."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    quiet = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    words = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(folder / "there"), str(source)]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return folder / "there"


def test_an_installed_package_is_listed_as_an_entry_point(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(installed)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert invoke(["list", "models"]) == 0
    parameters = 128 * 128 + 128 + 128  # W, V and b
    assert row(capfd.readouterr().out) == (
        f"pendulums oscillator — — {parameters:,} 128 loop entry point of asrnn-example-cell 0.1.0"
    )


def test_an_installed_package_keeps_the_contract_and_runs_and_its_record_knows_its_version(
    installed: Path, tmp_path: Path, template: Template
) -> None:
    found = call_here(template, *RUN, cwd=tmp_path, PYTHONPATH=str(installed))
    assert found.returncode == 0, found.stdout + found.stderr
    assert "checking pendulums against the contract" in found.stdout  # a run refuses what breaks it
    done = record(tmp_path)
    assert (done.status, done.job.model.origin) == ("done", "entry-point")
    assert done.job.model.code == {"distribution": "asrnn-example-cell", "version": "0.1.0"}


def test_one_new_file_makes_a_built_in_model(tmp_path: Path) -> None:
    """Nothing else is edited in the copy: the file is listed, built and trained."""
    tree = tmp_path / "tree"
    for package in ("asrnn", "benchmarks", "datamodules"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CELL, tree / "asrnn" / "cells" / "pendulums.py")
    path = [tree, tree / "benchmarks", tree / "datamodules"]
    assert row(asrnn_bench(tmp_path, path, "list")) == "pendulums built-in version 1"
    asrnn_bench(tmp_path, path, *RUN)
    found = record(tmp_path)
    assert (found.status, found.job.model.origin, found.job.model.code) == ("done", "built-in", {"version": 1})
    assert found.job.model.target == "asrnn.cells.pendulums:Pendulums"


def test_pendulums_swing_and_are_pushed() -> None:
    """Against complex numbers: a pair of units is one number, which a swing multiplies by exp(i angle)."""
    cell = build_cell(f"{CELL}:Pendulums", 3, 8, epsilon=0.2, longest=250.0).double()
    # Periods 2, 10, 50, 250: a factor of 125^(1/3) = 5 apart.
    angles = torch.tensor([2 * math.pi / period for period in (2, 10, 50, 250)], dtype=torch.float64)
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    V, b, W = cell.input.weight, cell.input.bias, cell.hidden.weight

    def units(z: Tensor) -> Tensor:
        return torch.view_as_real(z).flatten(1)

    z = torch.zeros(2, 4, dtype=torch.complex128)
    for t in range(6):
        z = z * torch.polar(torch.ones(4, dtype=torch.float64), angles)
        push = torch.tanh(units(z) @ W.T + x[:, t] @ V.T + b)
        z = z + 0.2 * torch.view_as_complex(push.reshape(2, 4, 2))
    output, _ = cell.scan(x)
    # The rotations are made in float32 and then widened: 6e-8 relative, over 6 steps of values near 1.
    torch.testing.assert_close(output, units(z), rtol=1e-5, atol=1e-6)
