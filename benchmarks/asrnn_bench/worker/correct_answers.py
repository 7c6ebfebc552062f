"""Note for each test sample whether it was classified rightly, each one once however many processes test."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from asrnn_bench.worker.collectives import gather


class CorrectAnswers(Callback):
    """Collects what :meth:`asrnn.SequenceClassifier.test_step` returns."""

    def __init__(self) -> None:
        self._own: list[Tensor] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._own.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any) -> None:
        """Keep the verdicts of a batch; they come to memory at the end, so that no batch waits for a GPU."""
        self._own.append(outputs["correct"])

    def gathered(self) -> list[bool]:
        """Return the verdicts of all samples in their order: ranks have stretches of them, one after another.

        All ranks have to call it.
        """
        own = torch.cat(self._own).cpu() if self._own else torch.zeros(0, dtype=torch.bool)
        everybody: list[Tensor] = [state["correct"] for state in gather({"correct": own})]
        return [bool(answer) for answer in torch.cat(everybody).tolist()]
