import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.worker import progress
from asrnn_bench.worker.progress import Progress
from asrnn_bench.worker.selection import DivergedError, Selection, exact_share


def measured(step: int, accuracy: float, loss: float = 1.0) -> SimpleNamespace:
    found = {"val/accuracy": accuracy, "val/loss": loss, "val/samples": 500.0}
    return SimpleNamespace(world_size=1, global_step=step, callback_metrics=found)


def test_the_earliest_of_the_best_validations_gives_the_weights(tmp_path: Path) -> None:
    selection, model = Selection(tmp_path / "metrics.jsonl"), nn.Linear(1, 1)
    for step, accuracy in ((10, 0.2), (20, 0.6), (30, 0.6), (40, 0.4)):
        nn.init.constant_(model.weight, step)
        selection.on_validation_end(measured(step, accuracy), SimpleNamespace(model=model))  # type: ignore[arg-type]
    assert selection.best is not None
    assert (selection.best.step, selection.weights["weight"].item()) == (20, 20)
    assert [point.step for point in selection.curve] == [10, 20, 30, 40]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_weights_that_are_laid_out_otherwise_are_saved_all_the_same(tmp_path: Path) -> None:
    selection, model = Selection(tmp_path / "metrics.jsonl"), nn.Module()
    matrix = torch.arange(6.0).reshape(2, 3)
    model.weight, model.tied = nn.Parameter(matrix.T), nn.Parameter(matrix)
    selection.on_validation_end(measured(1, 0.5), SimpleNamespace(model=model))  # type: ignore[arg-type]
    save_file(selection.tensors(), tmp_path / "weights.safetensors")
    assert torch.equal(load_file(tmp_path / "weights.safetensors")["weight"], matrix.T)


def test_a_state_dict_may_hold_more_than_real_tensors(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1 + 2j], dtype=torch.complex64))
            self.register_buffer("fine", torch.tensor([3 - 1j], dtype=torch.complex128))
            self.counts = [1, 2]

        def get_extra_state(self) -> dict[str, list[int]]:
            return {"counts": self.counts}

        def set_extra_state(self, state: dict[str, list[int]]) -> None:
            self.counts = state["counts"]

    selection, model = Selection(tmp_path / "metrics.jsonl"), Odd()
    selection.on_validation_end(measured(1, 0.5), SimpleNamespace(model=model))  # type: ignore[arg-type]
    model.counts.append(3)
    nn.init.zeros_(model.weight)
    other = Odd()
    model.load_state_dict(selection.weights)
    assert (model.counts, model.weight.item()) == ([1, 2], 1 + 2j)
    torch.save(selection.state_dict(), tmp_path / "state")
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True)["weights"])
    assert other.counts == [1, 2]
    save_file(selection.tensors(), tmp_path / "weights.safetensors")
    saved = load_file(tmp_path / "weights.safetensors")
    assert saved["weight"].item() == 1 + 2j
    assert saved["fine"].tolist() == [[3, -1]]
    assert saved.keys() == {"weight", "fine"}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_divergence_in_training_and_in_validation(tmp_path: Path, loss: float) -> None:
    selection = Selection(tmp_path / "metrics.jsonl")
    with pytest.raises(DivergedError, match="the validation loss became .* at step 7"):
        selection.on_validation_end(measured(7, 0.1, loss), SimpleNamespace(model=nn.Linear(1, 1)))  # type: ignore[arg-type]
    with pytest.raises(DivergedError, match="the training loss became .* at step 7"):
        selection.on_train_batch_end(measured(7, 0.1), None, {"loss": torch.tensor(loss)}, None, 0)  # type: ignore[arg-type]
    assert selection.best is None


def test_large_losses_have_a_mean(tmp_path: Path) -> None:
    selection = Selection(tmp_path / "metrics.jsonl")
    for _ in range(4):
        selection.on_train_batch_end(measured(1, 0.1), None, {"loss": torch.tensor(3e38)}, None, 0)  # type: ignore[arg-type]
    selection.on_validation_end(measured(1, 0.1), SimpleNamespace(model=nn.Linear(1, 1)))  # type: ignore[arg-type]
    assert selection.curve[0].train_loss == pytest.approx(3e38)


@pytest.mark.parametrize("samples", [500, 6_000, 10_000])
def test_an_accuracy_in_float32_becomes_the_exact_share(samples: int) -> None:
    for hits in range(0, samples + 1, 37):
        assert exact_share(torch.tensor(hits / samples, dtype=torch.float32).item(), samples) == hits / samples


def test_peak_memory_is_that_of_the_process_and_stays_when_memory_is_given_back() -> None:
    program = (
        "from asrnn_bench.worker.progress import peak_memory_mib; before = peak_memory_mib();"
        "held = bytearray(b'x') * (1024 << 20); del held; print(peak_memory_mib() - before)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # 1,024 MiB were held for a moment; what the allocator had left over from the imports may have served a part of it
    assert 900 < float(found.stdout) < 1100


class Clocks:
    """A wall clock and a processor clock that move when they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 0.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(progress.time, "process_time", lambda: self.cpu)

    def go_on(self, wall: float, cpu: float) -> None:
        self.wall += wall
        self.cpu += cpu


def test_a_step_is_timed_by_both_clocks_without_the_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, trainer = Clocks(monkeypatch), measured(1, 0.5)
    progress = Progress(JobDirectory(tmp_path), 1, 10, silent=True)
    progress.on_train_start(trainer, None)  # type: ignore[arg-type]
    for step in range(8):
        clocks.go_on(4.0, 1.0)
        progress.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.0)}, None, step)  # type: ignore[arg-type]
        clocks.go_on(1000.0, 500.0)
        progress.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert (progress.median_step_seconds(), progress.median_step_cpu_seconds()) == (4.0, 1.0)
    again = Progress(JobDirectory(tmp_path), 2, 10, silent=True)
    again.load_state_dict(progress.state_dict())
    assert again.step_cpu_seconds == [1.0] * 8
    earlier = {name: value for name, value in progress.state_dict().items() if name != "step_cpu_seconds"}
    Progress(JobDirectory(tmp_path), 3, 10, silent=True).load_state_dict(earlier)
