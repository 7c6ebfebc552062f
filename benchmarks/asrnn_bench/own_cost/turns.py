"""Time a job's training and a bare loop over the same model, in turns of a few steps each."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.training import SequenceClassifier
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.worker.building import build, build_data, build_module, build_trainer
from asrnn_bench.worker.progress import Progress
from asrnn_bench.worker.selection import Selection
from asrnn_bench.worker.training import prepare_torch
from asrnn_data.base import SequenceDataModule


class BareLoop:
    """A minimal training loop: Adam, and always the same batch."""

    def __init__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        self.model, self.batch = model, batch
        self.optimizer = torch.optim.Adam(model.parameters())

    def take(self, steps: int) -> None:
        """Take training steps, and wait for them to end."""
        x, labels = self.batch
        for _ in range(steps):
            self.optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(self.model(x), labels))
            self.optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()


class Turns(Callback):
    """Time some steps of the job, then as many steps of a bare loop over a copy of its model, and so on.

    ``job_seconds`` and ``bare_seconds`` hold the seconds per step of each turn. The bare loop runs without the settings
    that make a job deterministic, because a user's own loop does not have them.

    Args:
        data: the data of the job.
        threads: the number of threads of the job.
        steps: the number of steps of a turn.
        clock: returns the time in seconds.
    """

    def __init__(self, data: SequenceDataModule, threads: int, steps: int, clock: Callable[[], float]) -> None:
        self.data, self.threads, self.steps, self.clock = data, threads, steps, clock
        self.job_seconds: list[float] = []
        self.bare_seconds: list[float] = []
        self.scan_backend = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the bare loop, and start the clock."""
        model = copy.deepcopy(cast("SequenceClassifier", pl_module).model)
        self.bare_loop = BareLoop(model, self.data.train_batch(0))
        self._turn_start = self.clock()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After the last step of the job's turn, take the turn of the bare loop."""
        if trainer.global_step % self.steps:
            return
        now = self.clock()
        self.job_seconds.append((now - self._turn_start) / self.steps)
        torch.use_deterministic_algorithms(False)
        self.bare_loop.take(self.steps)
        self._turn_start = self.clock()
        self.bare_seconds.append((self._turn_start - now) / self.steps)
        prepare_torch(self.threads)


def take_turns(directory: JobDirectory, data_dir: Path | None, steps: int, clock: Callable[[], float]) -> Turns:
    """Train the job in ``directory`` as a worker does, and return the times of the turns.

    Args:
        directory: the directory of the job.
        data_dir: the folder of the image sets.
        steps: the number of steps of a turn.
        clock: returns the time in seconds.

    Raises:
        AsrnnError: the model or the data cannot be loaded.
    """
    job = directory.job()
    prepare_torch(job.threads)
    attempt, data = directory.claim(), build_data(job, data_dir)
    data.setup()
    turns = Turns(data, job.threads, steps, clock)
    model = build(job, directory, data)
    callbacks = [Selection(attempt.path / "metrics.jsonl"), Progress(directory, attempt.number, job.training.max_steps)]
    build_trainer(job, [*callbacks, turns]).fit(build_module(job, model, data.num_classes), datamodule=data)
    turns.scan_backend = model.scan_backend
    return turns
