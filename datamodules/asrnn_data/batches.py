"""Hand out batches as plain iterables, without worker processes, samplers or a position to remember.

They are no DataLoaders, so Lightning adds no sampler when several processes train together.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

Batch = tuple[Tensor, Tensor]


def epoch_order(seed: int, epoch: int, num_samples: int) -> NDArray[np.int64]:
    """Return the order of an epoch's training samples, `[num_samples]`, from a generator of its own."""
    name = f"asrnn-bench/batch-order/{seed}/{epoch}"
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.RandomState(words).permutation(num_samples).astype(np.int64)


@dataclass(frozen=True)
class Share:
    """The share of one process among those that train together; by default the whole.

    Shares are contiguous and differ by one sample at most. Joined in the order of the ranks they are the whole, in
    order. Rank 0, which prints and warns, never has the smaller share.

    Args:
        rank: the number of the process, from 0.
        world_size: how many processes train together.
    """

    rank: int = 0
    world_size: int = 1

    def of(self, num_samples: int) -> tuple[int, int]:
        """Return the first sample of the share and the one after its last, of `num_samples`."""
        start, stop = (-(-num_samples * rank // self.world_size) for rank in (self.rank, self.rank + 1))
        return start, stop

    def largest(self, num_samples: int) -> int:
        """Return the size of the largest share of `num_samples`, which rank 0 has."""
        return -(-num_samples // self.world_size)


WHOLE = Share()


class BatchSource(Protocol):
    """A data module, as its batches see it; :class:`asrnn_data.base.SequenceDataModule` is one."""

    eval_batch_size: int

    @property
    def num_train(self) -> int:
        """The number of training samples."""

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in the training set."""

    @property
    def share(self) -> Share:
        """The share of this process."""

    def num_samples(self, part: str) -> int:
        """Return the number of samples of ``"train"``, ``"val"`` or ``"test"``."""

    def check_batch_size(self) -> None:
        """Refuse a batch that is empty, larger than the training set, or not divisible among the processes."""

    def train_batch(self, step: int, share: Share = WHOLE) -> Batch:
        """Return a share of the batch of a training step."""

    def samples(self, part: str, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop` of a part."""


class Samples:
    """The ``dataset`` of a loader, which knows only its length."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


class EpochCounter:
    """Count epochs: one for each iteration, or as `set_epoch` says, which Lightning calls every epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.next_epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.next_epoch = epoch


class TrainBatches:
    """The training batches, or this rank's share of them, for a loop without a data module.

    Each iteration is the next epoch, with its own order and noise. All loaders of a data module share one count, so
    ``for x, y in module.train_dataloader()`` moves on each time; a `Trainer` sets the epoch. The state names the next
    batch, so that a run that is resumed within an epoch continues with it.
    """

    batch_sampler = None  # Lightning reads it if there is a sampler

    def __init__(self, module: BatchSource, epochs: EpochCounter) -> None:
        self._module = module
        self.sampler = epochs
        self._epoch, self._handed_out = epochs.next_epoch, 0
        self._resumed_at: tuple[int, int] | None = None  # epoch and position, until an iteration begins

    def __repr__(self) -> str:
        # Lightning prints this when it refuses overfit_batches, which needs a loader whose order it can change.
        kind = type(self._module).__name__
        return f"{kind}.train_dataloader() (for overfit_batches, give the trainer the {kind} as its datamodule)"

    @property
    def dataset(self) -> Samples:
        """An object whose length is the number of training samples."""
        return Samples(self._module.num_train)

    def __len__(self) -> int:
        return self._module.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        # This runs with the first batch, not before: Lightning makes iterators that it never uses.
        self._module.check_batch_size()
        epoch = self.sampler.next_epoch
        resumed_epoch, position = self._resumed_at or (epoch, 0)
        start = position if resumed_epoch == epoch else 0
        self._resumed_at, self.sampler.next_epoch = None, epoch + 1
        for position in range(start, len(self)):
            self._epoch, self._handed_out = epoch, position + 1
            yield self._module.train_batch(epoch * len(self) + position, self._module.share)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches that were handed out."""
        return {"epoch": self._epoch, "batches": self._handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration at the batch after those of a state."""
        done = state.get("epoch", 0) * len(self) + state.get("batches", 0)
        self._epoch, self._handed_out = self._resumed_at = divmod(done, len(self))
        self.sampler.next_epoch = self._epoch


class FittedBatches:
    """The training batches, or this rank's share of them, for a trainer that fits with the data module.

    An iteration begins with the trainer's next batch. Batches are counted over all epochs, whether or not each is an
    optimiser step, so a run that is resumed within an epoch continues with the very next batch. If the trainer overfits
    some batches, every epoch has the batches of the first. The length is that of a whole epoch, as Lightning counts.
    """

    def __init__(self, module: BatchSource, trainer: "Trainer") -> None:
        self._module, self._trainer = module, trainer

    @property
    def dataset(self) -> Samples:
        """An object whose length is the number of training samples."""
        return Samples(self._module.num_train)

    def __len__(self) -> int:
        return self._module.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        # This runs with the first batch, when Lightning's counts are those of the epoch that begins.
        progress = self._trainer.fit_loop.epoch_loop.batch_progress
        position = progress.current.completed % len(self)
        overfits = self._trainer.overfit_batches  # type: ignore[attr-defined] # Lightning sets it from outside the class
        first = 0 if overfits else progress.total.completed - position
        for step in range(first + position, first + len(self)):
            yield self._module.train_batch(step, self._module.share)

    def state_dict(self) -> dict[str, int]:
        """Return an empty state: the trainer's counts are the state."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore nothing, because the state is empty."""


class EvalBatches:
    """All samples of one part, or this rank's share of them, each once and in order.

    Every rank has the same number of batches, because Lightning waits for all ranks at the end of each evaluation and
    skips ranks without a batch. So the last batch of a rank may hold fewer samples, or none.
    """

    def __init__(self, module: BatchSource, part: str) -> None:
        self._module, self._part = module, part

    @property
    def dataset(self) -> Samples:
        """An object whose length is the number of samples of the part, over all ranks together."""
        return Samples(self._module.num_samples(self._part))

    def __len__(self) -> int:
        largest = self._module.share.largest(self._module.num_samples(self._part))
        return -(-largest // self._module.eval_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        start, stop = self._module.share.of(self._module.num_samples(self._part))
        size = self._module.eval_batch_size
        borders = [min(start + number * size, stop) for number in range(len(self) + 1)]
        return (self._module.samples(self._part, first, last) for first, last in pairwise(borders))
