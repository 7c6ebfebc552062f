"""Report the progress of a training: its steps, its speed and its memory."""

import math
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.worker.beats import Beats

WARM_UP_STEPS = 3
"""First steps left out of the median: they fill caches and grow the heap."""


class Progress(Callback):
    """Time each step, and write the progress about once a second.

    Args:
        directory: the job directory.
        attempt: the number of the attempt.
        max_steps: the optimiser steps of the training.
        silent: write nothing, as on every rank but the first.
        beats: the writer of the progress of this process; a new one by default.
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
        """Return the times of all steps, and the time and memory of the training so far."""
        return {
            "step_seconds": torch.tensor(self.step_seconds, dtype=torch.float64),
            "step_cpu_seconds": torch.tensor(self.step_cpu_seconds, dtype=torch.float64),
            "train_seconds": self.train_seconds(),
            "peak_memory_mib": self.peak_memory_mib(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add the times and memory of earlier attempts."""
        self.step_seconds = state_dict["step_seconds"].tolist()
        if "step_cpu_seconds" in state_dict:  # an earlier version saved none
            self.step_cpu_seconds = state_dict["step_cpu_seconds"].tolist()
        self._trained_before, self._began = state_dict["train_seconds"], time.perf_counter()
        self._peak_before = state_dict["peak_memory_mib"]

    def peak_memory_mib(self) -> float:
        """Return the peak memory so far in MiB, earlier attempts included."""
        return max(self._peak_before, peak_memory_mib())

    def train_seconds(self) -> float:
        """Return the seconds of the training so far, validations included, without lost work of killed attempts."""
        return self._trained_before + time.perf_counter() - self._began

    def write(self, phase: str, step: int, loss: float | None = None) -> None:
        """Write the phase, the step and the loss."""
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
        """Return the median seconds of an optimiser step, without validation."""
        return _median(self.step_seconds)

    def median_step_cpu_seconds(self) -> float | None:
        """Return the median processor seconds of all threads for an optimiser step, without validation."""
        return _median(self.step_cpu_seconds)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._mark, self._cpu_mark = time.perf_counter(), time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Time the step from the end of the previous one, its batch included, and write if it is time."""
        loss = float(outputs["loss"])
        now, cpu_now = time.perf_counter(), time.process_time()
        self.step_seconds.append(now - self._mark)
        self.step_cpu_seconds.append(cpu_now - self._cpu_mark)
        self._mark, self._cpu_mark = now, cpu_now
        if self._is_time():
            self.write("training", trainer.global_step, loss if math.isfinite(loss) else None)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write that a validation runs."""
        self.write("validating", trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clocks, so that the next step does not include the validation."""
        self._mark, self._cpu_mark = time.perf_counter(), time.process_time()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Write during a long validation, too."""
        if self._is_time():
            self.write("validating", trainer.global_step)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write that the test runs."""
        self.write("testing", self.max_steps)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Write during a long test, too."""
        if self._is_time():
            self.write("testing", self.max_steps)


def _median(seconds: list[float]) -> float | None:
    timed = seconds[WARM_UP_STEPS:] or seconds
    return statistics.median(timed) if timed else None


def peak_memory_mib() -> float:
    """Return the peak memory in MiB: that of the GPU if there is one, or else the resident set of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError):  # some sandboxes lack that line; this value includes the time before this program
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
