"""The command ``asrnn-bench speed``."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from bench_support import call, one_line

from asrnn_bench.cli import invoke
from asrnn_bench.speed import contenders
from asrnn_bench.speed.plan import make_plan
from asrnn_bench.speed.sizes import GROWTH, SIZES

CELLS = """
from torch import nn


class Own(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x):
        print("a model may print")
        return self.rnn(x)


class Broken(Own):
    def forward(self, x):
        if x.shape[0] > 2:
            raise ValueError("no more than two samples")
        return super().forward(x)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--models antisymetric", "unknown model 'antisymetric'; did you mean 'antisymmetric'?"),
        ("--models absent.py:Cell", "there is no file absent.py"),
        ("--models one/cell.py:Cell,two/cell.py:Cell", "two of the models to time are called 'cell'"),
        ("--sizes 128x784x1", "found '128x784x1'"),
        ("--sizes 128x784x1x0", "--sizes takes batch, steps, inputs and hidden units as in 128x784x1x128"),
        ("--sizes 8x8x1x8,", "found ''"),
        ("--threads 0", "--threads 0 must be from 1 to the"),
        ("--threads 4096", "--threads 4096 must be from 1 to the"),
        ("--threads two", "--threads takes whole numbers with commas between them"),
        ("--rounds 0", "--rounds"),
        ("--quik", "--quik"),
        ("--output file/below", "cannot write to file/below"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a folder")
    for name in ("one", "two"):
        Path(name).mkdir()
        Path(name, "cell.py").write_text("class Cell:\n    pass\n")
    assert invoke(["speed", *words.split()]) == 2
    assert message in one_line(capfd.readouterr().err)
    assert not Path("speed").exists()


@pytest.mark.parametrize("words", ["--help", "--models x", "--sizes 1"])
def test_planning_imports_neither_torch_nor_matplotlib(words: str) -> None:
    program = (
        "import sys; from asrnn_bench.cli import invoke; invoke(['speed', *sys.argv[1:]]); "
        "heavy = {'torch', 'lightning', 'matplotlib', 'pandas', 'torchrecurrent'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_the_defaults_are_the_tasks_sizes_one_thread_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrnn_bench.speed.plan.available_cores", lambda: [0, 1, 2, 3])
    plan = make_plan(models=[], sizes=None, threads=[], rounds=None, quick=False)
    assert (list(plan.sizes), list(plan.threads), plan.axes, plan.on_cpu) == (list(SIZES), [1, 4], GROWTH, False)
    assert "nn.LSTM" in [one.name for one in plan.growing]
    assert "nn.GRU" not in [one.name for one in plan.growing]
    quick = make_plan(models=["rnn"], sizes=None, threads=[], rounds=7, quick=True)
    assert (list(quick.sizes), list(quick.threads), quick.axes, quick.rounds) == ([SIZES[0]], [4], {}, 7)
    own = make_plan(models=["rnn"], sizes="1x2x3x4", threads=[2, 1, 2], rounds=None, quick=False)
    assert (len(own.sizes), own.threads, own.on_cpu) == (1, [1, 2], True)
    assert [one.name for one in own.growing] == ["rnn", "nn.LSTM"]


@pytest.mark.slow
def test_a_run_writes_tables_csv_and_plots_and_a_failing_model_has_a_row(tmp_path: Path) -> None:
    (tmp_path / "cells.py").write_text(CELLS)
    (tmp_path / "random.py").write_text("raise SystemExit('what lies in the folder replaces no module')")
    words = "speed --quick --threads 1 --rounds 1 --sizes 4x8x1x8 --models cells.py:Own,cells.py:Broken --output out/a"
    found = call(*words.split(), cwd=tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr
    assert "broken: ValueError: no more than two samples" in found.stdout
    for word in ("own", "nn.LSTM", "B=4, T=8, I=1, H=8, 1 thread", "written: out/a/"):
        assert word in found.stdout
    with (tmp_path / "out" / "a" / "speed.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["own", "broken", "nn.LSTM"]
    assert float(rows["own"]["speedup_over_lstm"]) > 0
    assert rows["own"]["threads"] == "1"
    assert rows["broken"]["median_ms"] == ""
    names = {path.name for path in (tmp_path / "out" / "a").iterdir()}
    assert names == {"README.md", "floors.md", "speed.csv", "speed.png", "speed.svg"}


def test_a_missing_peer_is_reported_before_timing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    installed = contenders._version
    monkeypatch.setattr(contenders, "_version", lambda name: None if "torchrecurrent" in name else installed(name))
    monkeypatch.setattr("asrnn_bench.cli.speed.Session", _interrupted)
    monkeypatch.chdir(tmp_path)
    assert invoke(["speed"]) == 130
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("not installed, so not timed: torchrecurrent.AntisymmetricRNN")
    assert said[-1] == "interrupted: the results so far are in speed"


def _interrupted(*words: object) -> None:
    raise KeyboardInterrupt
