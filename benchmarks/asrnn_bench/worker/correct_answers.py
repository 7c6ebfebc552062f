"""Record for each test sample whether it was classified correctly, once for any number of processes."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from asrnn_bench.worker.collectives import gather


class CorrectAnswers(Callback):
    """Collects the correctness of each sample from :meth:`asrnn.SequenceClassifier.test_step`."""

    def __init__(self) -> None:
        self._own: list[Tensor] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self._own.clear()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any) -> None:
        """Keep the values of a batch on its device, so that no batch waits for a GPU."""
        self._own.append(outputs["correct"])

    def gathered(self) -> list[bool]:
        """Return for all samples, in their order, whether they were classified correctly. All ranks must call it.

        Each rank has a contiguous part of the samples, in the order of the ranks.
        """
        own = torch.cat(self._own).cpu() if self._own else torch.zeros(0, dtype=torch.bool)
        everybody: list[Tensor] = [state["correct"] for state in gather({"correct": own})]
        return [bool(answer) for answer in torch.cat(everybody).tolist()]
