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
    from lightning.pytorch import Trainer

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


class Samples:
    """What torch users ask a loader's ``dataset`` for: how many samples there are."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


class EpochCounter:
    """Count epochs: from one iteration to the next, or as told by `set_epoch`, which Lightning calls every epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.next_epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch."""
        self.next_epoch = epoch


class TrainBatches:
    """The training batches, or this rank's share of them, for a loop that has no data module to ask.

    Each iteration is an epoch, and the next iteration is the next one, with an order and noise of its own. All loaders
    of a data module count together, so that ``for x, y in module.train_dataloader()`` moves on; a `Trainer` says which
    epoch it is in. The state names the next batch, so that a run that was resumed within an epoch goes on with it.
    """

    batch_sampler = None  # Lightning asks for it wherever there is a sampler

    def __init__(self, module: "SequenceDataModule", epochs: EpochCounter) -> None:
        self._module = module
        self.sampler = epochs
        self._epoch, self._handed_out = epochs.next_epoch, 0
        self._resumed_at: tuple[int, int] | None = None  # epoch and position, until an iteration began

    def __repr__(self) -> str:
        # Lightning shows this where it refuses overfit_batches, which needs a loader whose order it can change.
        kind = type(self._module).__name__
        return f"{kind}.train_dataloader() (for overfit_batches, give the trainer the {kind} as its datamodule)"

    @property
    def dataset(self) -> Samples:
        """The training samples, for ``len(loader.dataset)``."""
        return Samples(self._module.num_train)

    def __len__(self) -> int:
        return self._module.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        # All of this runs with the first batch: Lightning makes iterators that it never uses.
        self._module.check_batch_size()
        epoch = self.sampler.next_epoch
        resumed_epoch, position = self._resumed_at or (epoch, 0)
        start = position if resumed_epoch == epoch else 0
        self._resumed_at, self.sampler.next_epoch = None, epoch + 1
        for position in range(start, len(self)):
            self._epoch, self._handed_out = epoch, position + 1
            yield self._module.train_batch(epoch * len(self) + position, self._module.share)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "batches": self._handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration where `state_dict` was called."""
        done = state.get("epoch", 0) * len(self) + state.get("batches", 0)
        self._epoch, self._handed_out = self._resumed_at = divmod(done, len(self))
        self.sampler.next_epoch = self._epoch


class FittedBatches:
    """The training batches, or this rank's share of them, for a trainer that fits with the data module.

    An iteration goes on with the trainer's next batch, counted over all epochs and whether or not each batch is an
    optimiser step, so that a run that was resumed within an epoch goes on with the very next batch. Where the trainer
    overfits some batches, every epoch has the batches of the first. The length is that of a whole epoch, which is what
    Lightning counts in.
    """

    def __init__(self, module: "SequenceDataModule", trainer: "Trainer") -> None:
        self._module, self._trainer = module, trainer

    @property
    def dataset(self) -> Samples:
        """The training samples, for ``len(loader.dataset)``."""
        return Samples(self._module.num_train)

    def __len__(self) -> int:
        return self._module.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        # All of this runs with the first batch, when Lightning's counts are those of the epoch that begins.
        progress = self._trainer.fit_loop.epoch_loop.batch_progress
        position = progress.current.completed % len(self)
        overfits = self._trainer.overfit_batches  # type: ignore[attr-defined] # Lightning sets it from outside the class
        first = 0 if overfits else progress.total.completed - position
        for step in range(first + position, first + len(self)):
            yield self._module.train_batch(step, self._module.share)

    def state_dict(self) -> dict[str, int]:
        """Return nothing: the trainer's count is all the state there is, and Lightning asks before it resumes."""
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

    @property
    def dataset(self) -> Samples:
        """The samples of the part, on all ranks, for ``len(loader.dataset)``."""
        return Samples(self._module.num_samples(self._part))

    def __len__(self) -> int:
        largest = self._module.share.largest(self._module.num_samples(self._part))
        return -(-largest // self._module.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        start, stop = self._module.share.of(self._module.num_samples(self._part))
        size = self._module.eval_batch_size
        borders = [min(start + number * size, stop) for number in range(len(self) + 1)]
        return (self._module.samples(self._part, first, last) for first, last in pairwise(borders))
