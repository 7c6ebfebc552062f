"""The benchmark of a job's overhead: what it measures, not how much."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from asrnn_bench.own_cost import turns
from asrnn_bench.own_cost.turns import BareLoop, Turns

IDLE = """
from torch import nn

class Idle(nn.Linear):
    def forward(self, x):
        return super().forward(x[:, -1])
"""


def test_a_turn_counts_its_own_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(seconds=5.0)

    class Loop:
        def __init__(self, model: nn.Module, batch: object) -> None:
            now.seconds += 1000.0  # the time to build it does not count

        def take(self, steps: int) -> None:
            now.seconds += 3.0 * steps

    monkeypatch.setattr(turns, "BareLoop", Loop)
    monkeypatch.setattr(turns, "prepare_torch", lambda threads: None)
    data = SimpleNamespace(train_batch=lambda step: None)
    taken = Turns(data, threads=1, steps=4, clock=lambda: now.seconds)  # type: ignore[arg-type]
    taken.on_train_start(None, SimpleNamespace(model=nn.Linear(1, 1)))  # type: ignore[arg-type]
    for step in range(1, 10):
        now.seconds += 10.0
        taken.on_train_batch_end(SimpleNamespace(global_step=step), None, None, None, 0)  # type: ignore[arg-type]
    assert taken.job_seconds == [10.0, 10.0]
    assert taken.bare_seconds == [3.0, 3.0]


def test_the_bare_loop_learns_its_one_batch() -> None:
    torch.manual_seed(0)
    model, x, labels = nn.Linear(3, 2), torch.randn(8, 3), torch.tensor([0, 1] * 4)
    before = nn.functional.cross_entropy(model(x), labels).item()
    BareLoop(model, (x, labels)).take(50)
    assert nn.functional.cross_entropy(model(x), labels).item() < before


def overhead(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asrnn_bench.own_cost.overhead", "--tasks", "permuted-mnist", "--threads", "1"]
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.slow
def test_the_command_prints_a_row_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(IDLE)
    found = overhead("--model", f"{tmp_path / 'idle.py'}:Idle", "--turns", "2")
    assert (found.returncode, found.stderr) == (0, "")
    headings, row = found.stdout.splitlines()
    assert headings.split()[:3] == ["task", "threads", "scan"]
    task, threads, scan, *numbers, percent = row.split()
    assert (task, threads, scan, percent) == ("permuted-mnist", "1", "module", "%")
    job, bare, overhead_ms, speed = map(float, numbers)
    assert job > bare > 0
    assert overhead_ms > 0
    assert 0 < speed < 100  # a model that does nothing leaves nearly all of a job to its overhead


def test_an_unknown_model_is_reported_in_one_line() -> None:
    found = overhead("--model", "antisymetric")
    assert found.returncode == 1
    assert "did you mean 'antisymmetric'" in found.stderr
    assert len(found.stderr.splitlines()) == 1
