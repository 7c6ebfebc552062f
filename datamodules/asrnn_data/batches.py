"""Batches as plain iterables: no worker processes, no sampler, nothing that remembers where it was.

They are no DataLoaders, so Lightning puts no sampler of its own into them when several processes train together.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
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


@dataclass(frozen=True)
class Share:
    """What one of the processes that train together works on; the usual one works on everything.

    Shares are contiguous, differ by one sample at most, and give everything, in order, when they are put together in
    the order of ranks. That of rank 0 is never the smaller one: it is the rank that warns and speaks.
    """

    rank: int = 0
    world_size: int = 1

    def of(self, num_samples: int) -> tuple[int, int]:
        """Return where the share of `num_samples` begins and ends."""
        start, stop = (-(-num_samples * rank // self.world_size) for rank in (self.rank, self.rank + 1))
        return start, stop

    def largest(self, num_samples: int) -> int:
        """Return the size of the largest share of `num_samples`, that of rank 0."""
        return -(-num_samples // self.world_size)


WHOLE = Share()


class TrainBatches:
    """The training batches from the trainer's step to the end of its epoch, or this rank's share of each.

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
        return (self._module.train_batch(step, self._module.share) for step in range(step, end))

    def state_dict(self) -> dict[str, int]:
        """Return nothing: the trainer's step is all the state there is, and Lightning asks before it resumes."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore nothing, as `state_dict` holds nothing."""


class EvalBatches:
    """All samples of one part, or this rank's share of them, once each, in order.

    Every rank has equally many batches, because Lightning waits for all ranks at the end of each evaluation and leaves
    out those without any. So the last batch of a rank holds what is left, which may be no sample at all.
    """

    def __init__(self, module: "SequenceDataModule", part: str) -> None:
        self._module, self._part = module, part

    def __len__(self) -> int:
        largest = self._module.share.largest(self._module.num_samples(self._part))
        return -(-largest // self._module.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        start, stop = self._module.share.of(self._module.num_samples(self._part))
        size = self._module.eval_batch_size
        borders = [min(start + number * size, stop) for number in range(len(self) + 1)]
        return (self._module.samples(self._part, first, last) for first, last in pairwise(borders))
