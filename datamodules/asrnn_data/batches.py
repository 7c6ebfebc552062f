"""Batches as plain iterables: no worker processes, no sampler, nothing that remembers where it was."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from asrnn_data.base import SequenceDataModule

Batch = tuple[Tensor, Tensor]


def epoch_order(seed: int, epoch: int, num_samples: int) -> NDArray[np.int64]:
    """Return the order `[num_samples]` of an epoch's training samples, from a generator of its own."""
    name = f"asrnn-bench/batch-order/{seed}/{epoch}"
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.RandomState(words).permutation(num_samples).astype(np.int64)


class TrainBatches:
    """The training batches from the trainer's step to the end of its epoch.

    An iteration starts at ``trainer.global_step`` (at step 0 without a trainer), so that a run that was
    resumed within an epoch goes on with the very next batch. The length is that of a whole epoch, which is
    what Lightning counts in.
    """

    def __init__(self, module: "SequenceDataModule") -> None:
        self._module = module

    def __len__(self) -> int:
        return self._module.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        trainer = self._module.trainer
        step = trainer.global_step if trainer is not None else 0
        end = (step // len(self) + 1) * len(self)
        return (self._module.train_batch(step) for step in range(step, end))

    def state_dict(self) -> dict[str, int]:
        """Return nothing: the trainer's step is all the state there is, and Lightning asks before it resumes."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore nothing, as `state_dict` holds nothing."""


class EvalBatches:
    """All samples of one part, once each, in order; the last batch holds what is left."""

    def __init__(self, module: "SequenceDataModule", part: str) -> None:
        self._module, self._part = module, part

    def __len__(self) -> int:
        return -(-self._module.num_samples(self._part) // self._module.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        size, num_samples = self._module.eval_batch_size, self._module.num_samples(self._part)
        return (
            self._module.samples(self._part, start, min(start + size, num_samples))
            for start in range(0, num_samples, size)
        )
