"""What watches a training: selection on validation, divergence, and the progress that observers follow."""

import copy
import json
import math
import resource
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from asrnn_bench.records import CurvePoint
from asrnn_bench.running.beats import Beats
from asrnn_bench.running.job_directory import JobDirectory

WARM_UP_STEPS = 3
"""Steps left out of the median: the first ones fill caches and grow the heap."""


class DivergedError(Exception):
    """The loss stopped being a finite number; a finding about the model, not a fault of the run."""


class Selection(Callback):
    """Keep the weights of the best validation accuracy, the earliest of equals, and the curve that led there.

    Args:
        metrics: the file that the curve's points are appended to; None on ranks that write nothing.
    """

    def __init__(self, metrics: Path | None) -> None:
        self.metrics = metrics
        self.curve: list[CurvePoint] = []
        self.best: CurvePoint | None = None
        self.val_samples = 0
        self.weights: dict[str, Any] = {}  # a state dict: tensors, and whatever a module's get_extra_state returns
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the curve, the best weights so far and the losses since the last validation."""
        return {
            "curve": [point.model_dump() for point in self.curve],
            "val_samples": self.val_samples,
            "weights": self.weights,
            "losses": torch.stack(self._losses) if self._losses else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned; the curve until there goes into this attempt's file."""
        self.curve = [CurvePoint.model_validate(point) for point in state_dict["curve"]]
        self.best = max(self.curve, key=lambda point: (point.val_accuracy, -point.step), default=None)
        self.val_samples, self.weights = state_dict["val_samples"], state_dict["weights"]
        self._losses = [] if state_dict["losses"] is None else list(state_dict["losses"])
        for point in self.curve:
            self._write(point)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the loss, which is the mean of all ranks', and stop at one that is not finite."""
        loss = outputs["loss"] if trainer.world_size == 1 else trainer.callback_metrics["train/loss"]
        if not math.isfinite(loss.item()):
            raise DivergedError(f"the training loss became {loss.item()} at step {trainer.global_step}")
        self._losses.append(loss.detach().cpu())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add a point to the curve, and keep the weights if it is the best one."""
        measured = trainer.callback_metrics
        val_loss = float(measured["val/loss"])
        if not math.isfinite(val_loss):
            raise DivergedError(f"the validation loss became {val_loss} at step {trainer.global_step}")
        point = CurvePoint(
            step=trainer.global_step,
            train_loss=float(torch.stack(self._losses).double().mean()) if self._losses else None,
            val_accuracy=exact_share(float(measured["val/accuracy"]), int(measured["val/samples"])),
            val_loss=val_loss,
        )
        self._losses.clear()
        self.curve.append(point)
        self._write(point)
        if self.best is None or point.val_accuracy > self.best.val_accuracy:
            self.best = point
            self.val_samples = int(measured["val/samples"])
            state = pl_module.model.state_dict()  # type: ignore[union-attr]
            self.weights = {name: _copied(value) for name, value in state.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the best weights as safetensors holds them: without extra state, complex128 as pairs."""
        tensors = {name: value for name, value in self.weights.items() if isinstance(value, Tensor)}
        return {
            name: torch.view_as_real(value) if value.dtype == torch.complex128 else value
            for name, value in tensors.items()
        }

    def _write(self, point: CurvePoint) -> None:
        if self.metrics is not None:
            # For people who watch: the curve is in the checkpoints and in the result.
            with suppress(OSError), self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(point.model_dump(), allow_nan=False) + "\n")


class Progress(Callback):
    """Time each step, and write the progress about once a second.

    Args:
        directory: the job's.
        attempt: the number of this process's attempt.
        max_steps: the optimiser steps of the training.
        silent: write nothing, as on every rank but the first.
        beats: what this process's progress is written with so far; a new one by default.
    """

    def __init__(
        self,
        directory: JobDirectory,
        attempt: int,
        max_steps: int,
        *,
        silent: bool = False,
        beats: Beats | None = None,
    ) -> None:
        self.beats = beats or Beats(directory, attempt, max_steps, silent=silent)
        self.max_steps = max_steps
        self.step_seconds: list[float] = []
        self.step_cpu_seconds: list[float] = []
        self._mark = self._cpu_mark = 0.0
        self._written = 0.0
        self._trained_before, self._began = 0.0, time.perf_counter()
        self._peak_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the times of the steps, and what the training took until here, in time and in memory."""
        return {
            "step_seconds": torch.tensor(self.step_seconds, dtype=torch.float64),
            "step_cpu_seconds": torch.tensor(self.step_cpu_seconds, dtype=torch.float64),
            "train_seconds": self.train_seconds(),
            "peak_memory_mib": self.peak_memory_mib(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add what attempts before this one took."""
        self.step_seconds = state_dict["step_seconds"].tolist()
        if "step_cpu_seconds" in state_dict:  # an earlier version saved none
            self.step_cpu_seconds = state_dict["step_cpu_seconds"].tolist()
        self._trained_before, self._began = state_dict["train_seconds"], time.perf_counter()
        self._peak_before = state_dict["peak_memory_mib"]

    def peak_memory_mib(self) -> float:
        """Return the largest memory so far, in MiB, that of earlier attempts included."""
        return max(self._peak_before, peak_memory_mib())

    def train_seconds(self) -> float:
        """Return what the training took so far, validations included, without what killed attempts did in vain."""
        return self._trained_before + time.perf_counter() - self._began

    def write(self, phase: str, step: int, loss: float | None = None) -> None:
        """Write where the attempt is."""
        self._written = time.monotonic()
        recent = self.step_seconds[-20:]
        self.beats.write(
            phase,
            step,
            loss=loss,
            steps_per_second=len(recent) / sum(recent) if recent else None,
            memory_mib=peak_memory_mib(),
        )

    def _is_time(self) -> bool:
        return time.monotonic() - self._written >= self.beats.interval

    def median_step_seconds(self) -> float | None:
        """Return the median time of an optimiser step, validation aside."""
        return _median(self.step_seconds)

    def median_step_cpu_seconds(self) -> float | None:
        """Return the median processor time that this process's threads took for an optimiser step, validation aside."""
        return _median(self.step_cpu_seconds)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._mark, self._cpu_mark = time.perf_counter(), time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Time the step from the end of the one before it, its batch included, and write if it is time."""
        loss = float(outputs["loss"])
        now, cpu_now = time.perf_counter(), time.process_time()
        self.step_seconds.append(now - self._mark)
        self.step_cpu_seconds.append(cpu_now - self._cpu_mark)
        self._mark, self._cpu_mark = now, cpu_now
        if self._is_time():
            self.write("training", trainer.global_step, loss if math.isfinite(loss) else None)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that a validation runs."""
        self.write("validating", trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the validation out of the next step's time."""
        self._mark, self._cpu_mark = time.perf_counter(), time.process_time()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Show that a long validation has not come to a halt."""
        if self._is_time():
            self.write("validating", trainer.global_step)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that the test runs."""
        self.write("testing", self.max_steps)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Show that a long test has not come to a halt."""
        if self._is_time():
            self.write("testing", self.max_steps)


def _median(seconds: list[float]) -> float | None:
    timed = seconds[WARM_UP_STEPS:] or seconds
    return statistics.median(timed) if timed else None


def _copied(value: Any) -> Any:
    """Copy an entry of a state dict; a tensor becomes contiguous, because safetensors keeps no strides."""
    return value.detach().cpu().contiguous().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def exact_share(accuracy: float, samples: int) -> float:
    """Return the accuracy as the number of hits over ``samples``, free of the metric's float32 rounding."""
    return round(accuracy * samples) / samples


def peak_memory_mib() -> float:
    """Return the largest memory so far, in MiB: the GPU's where one is in use, else the process's resident set."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError):  # some sandboxes have no such line; this value counts from before this program
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
