"""Define the data module of all tasks: whole sets in memory, and batches as a pure function of (seed, step)."""

from abc import ABC, abstractmethod
from hashlib import sha256
from operator import index
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn, TrainerStatus
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from asrnn.errors import MissingDataError, UsageError
from asrnn_data.batches import (
    WHOLE,
    Batch,
    EpochCounter,
    EvalBatches,
    FittedBatches,
    Share,
    TrainBatches,
    epoch_order,
)
from asrnn_data.image_sets import ImageSet, check_images, images_present
from asrnn_data.prepare import prepare
from asrnn_data.sources import LabelledImages, load_images
from asrnn_data.splits import split_images
from asrnn_data.tasks import Task


class SequenceDataModule(LightningDataModule, ABC):
    """Sequences `[B, T, I]` (float32) with classes `[B]` (int64), under a task's protocol.

    The images are kept as bytes on the trainer's device, and become sequences one batch at a time. A batch is a view of
    memory `[T, B, I]`, the order in which recurrences read it. An epoch drops its incomplete last batch. Each epoch has
    its own order and training noise, with a `Trainer` or without. If several processes train together (DDP), each takes
    an equal share of the same batch, and a share of validation and test without repetitions.

    Args:
        data_dir: a root that torchvision accepts; see `asrnn_data.resolve_data_dir`.
        images: the name of the image set; None for the task's default, the full published set.
        batch_size: the number of training samples in a batch, over all processes that train together.
        seed: the seed of batch order and training noise. It does not change split, permutation or test noise.
        eval_batch_size: the number of samples in a batch of validation and test, in each process. It changes no sample.

    Raises:
        UnknownNameError: an image set is not one of the task's.
        UsageError: a size is below one, or a batch is larger than the training set.
    """

    task: ClassVar[Task]

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        images: str | None = None,
        batch_size: int = 128,
        seed: int = 0,
        eval_batch_size: int = 250,
    ) -> None:
        super().__init__()
        self.images = self.task.image_set(images).name
        self.data_dir = None if data_dir is None else str(data_dir)  # not a Path: checkpoints are read without pickle
        batch_size, eval_batch_size, seed = map(
            index, (batch_size, eval_batch_size, seed)
        )  # numpy's integers become Python's
        self.batch_size, self.eval_batch_size, self.seed = batch_size, eval_batch_size, seed
        self.check_batch_size()
        if eval_batch_size < 1:
            raise UsageError(f"eval_batch_size is {eval_batch_size}: it must be at least 1")
        self._sources: dict[str, LabelledImages] = {}
        self._indices: dict[str, Tensor] = {}
        self._order: tuple[int, Tensor] | None = None  # the epoch that was used last, and its order
        self._epochs = EpochCounter()
        self.save_hyperparameters(
            {
                "data_dir": self.data_dir,
                "images": self.images,
                "batch_size": batch_size,
                "seed": seed,
                "eval_batch_size": eval_batch_size,
            }
        )
        self.choose()

    def choose(self, **variants: str) -> None:
        """Set the task's settings, such as ``noise="shared-v1"``; the others keep their defaults.

        Constructors call it with their arguments that name assets; see `Task.variants`.

        Raises:
            UnknownNameError: no such setting, or no such asset for it.
        """
        self.variants = self.task.choices(**variants)
        self.save_hyperparameters(self.variants)

    @abstractmethod
    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return uint8 images `[B, C, H, W]` as sequences `[B, T, I]`.

        Args:
            images: a batch of images.
            stream: the name of the noise stream, for tasks with noise.
            rows: `[B]` int64, the row of the stream for each image.
        """

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.hparams.items())
        return f"{type(self).__name__}({settings})"

    __str__ = __repr__  # Lightning's own makes every loader, and fails if one is no DataLoader

    @property
    def image_set(self) -> ImageSet:
        """The image set: its files, scaling and split."""
        return self.task.image_set(self.images)

    @property
    def sequence_length(self) -> int:
        """The number of steps of a sequence, T."""
        return self.task.sequence_length

    @property
    def input_size(self) -> int:
        """The number of inputs at one step, I."""
        return self.task.input_size

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return self.task.num_classes

    @property
    def num_train(self) -> int:
        """The number of training samples."""
        return self.image_set.num_train

    @property
    def num_val(self) -> int:
        """The number of validation samples."""
        return self.image_set.num_val

    @property
    def num_test(self) -> int:
        """The number of test samples."""
        return self.image_set.num_test

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in the training set."""
        return self.num_train // self.batch_size

    def num_samples(self, part: str) -> int:
        """Return the number of samples of ``"train"``, ``"val"`` or ``"test"``."""
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}[part]

    def labels(self, part: str) -> Tensor:
        """Return the classes `[N]` of ``"train"``, ``"val"`` or ``"test"``, in the order of its samples."""
        chosen = self._loaded(part)
        return self._sources[self._parts[part].source].labels[chosen]

    def sample_order(self, part: str) -> str:
        """Return the sha256 of the samples of ``"train"``, ``"val"`` or ``"test"`` and of their order.

        It covers the image set's digest and the name of the source, each with a line break, then the samples' indices
        in that source as little-endian int64.
        """
        chosen = split_images(self.image_set)[part]
        head = f"{self.image_set.digest()}\n{chosen.source}\n".encode()
        return sha256(head + chosen.indices.astype("<i8").tobytes()).hexdigest()

    def protocol(self) -> dict[str, str]:
        """Return the name and digest of every protocol asset in use."""
        return self.task.assets(self.images, **self.variants)

    def prepare_data(self) -> None:
        """Fetch the published images if they are not on disk; Lightning calls this in one process of each node.

        Raises:
            MissingDataError: the data is not there and cannot be fetched.
            DamagedDataError: a fetched file is not the published one.
            UsageError: the data directory cannot be written.
        """
        if images_present(self.images, self.data_dir):
            return
        try:
            prepare(self.data_dir, [self.images], rank_zero_info)
        except MissingDataError as error:
            check_images(self.images, self.data_dir)  # its message says which files to put where
            raise MissingDataError(str(error)) from error

    def setup(self, stage: str | None = None) -> None:
        """Read and check the images, and move them to the trainer's device (without a trainer, the CPU).

        Raises:
            MissingDataError: the data is not there.
            DamagedDataError: a file is not the published one.
            UsageError: the trainer's processes cannot have equal shares of a batch.
        """
        self.check_batch_size()
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if self._sources and self._indices["train"].device == device:
            return
        sources = load_images(self.images, self.data_dir)
        self._sources = {name: source.to(device) for name, source in sources.items()}
        self._parts = split_images(self.image_set)
        self._indices = {name: torch.from_numpy(part.indices).to(device) for name, part in self._parts.items()}
        self._order = None

    @property
    def share(self) -> Share:
        """The share of each batch, of validation and of test that this process works on."""
        trainer = self._running_trainer
        if trainer is not None:
            return Share(trainer.global_rank, trainer.world_size)
        if dist.is_available() and dist.is_initialized():  # loaders without the data module, or no Lightning at all
            return Share(dist.get_rank(), dist.get_world_size())
        return WHOLE

    @property
    def _running_trainer(self) -> Trainer | None:
        """The trainer that is running with this data module; a trainer that has finished does not count."""
        running = self.trainer is not None and self.trainer.state.status == TrainerStatus.RUNNING
        return self.trainer if running else None

    def train_batch(self, step: int, share: Share = WHOLE) -> Batch:
        """Return the batch of a training step, or one rank's share of it: a pure function of (seed, step).

        Args:
            step: the number of batches before this one, over all epochs.
            share: the share to return. The shares of all ranks, joined, are the batch bit for bit.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        start, stop = share.of(self.batch_size)
        first = position * self.batch_size
        chosen = self._epoch_order(epoch)[first + start : first + stop]
        rows = torch.arange(start, stop, device=chosen.device)
        return self._batch("train", chosen, f"batch/{self.seed}/{step}", rows)

    def samples(self, part: str, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop` of a part; each depends only on its place in the source."""
        chosen = self._loaded(part)[start:stop]
        return self._batch(part, chosen, f"sample/{self._parts[part].source}", chosen)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch unchanged: it was made on the device that needs it."""
        return batch

    def train_dataloader(self) -> FittedBatches | TrainBatches:
        """Return the training batches, or this rank's share of each.

        While a trainer fits, the batches begin at its current step. Without a trainer, each loop over a loader is the
        next epoch of this data module.

        Raises:
            UsageError: there is no whole batch, or the processes cannot have equal shares of one.
        """
        self.check_batch_size()
        trainer = self._running_trainer
        if trainer is not None and trainer.state.fn == TrainerFn.FITTING:
            return FittedBatches(self, trainer)
        return TrainBatches(self, self._epochs)

    def val_dataloader(self) -> EvalBatches:
        """Return all validation samples, or this rank's share of them, in order."""
        return EvalBatches(self, "val")

    def test_dataloader(self) -> EvalBatches:
        """Return all test samples, or this rank's share of them, in order."""
        return EvalBatches(self, "test")

    def predict_dataloader(self) -> EvalBatches:
        """Return all test samples, or this rank's share of them, in order."""
        return self.test_dataloader()

    def check_batch_size(self) -> None:
        """Refuse a batch that is empty, larger than the training set, or not divisible among the processes.

        Raises:
            UsageError: the batch is one of these.
        """
        if not 1 <= self.batch_size <= self.num_train:
            raise UsageError(
                f"batch_size is {self.batch_size}: it must lie between 1 and {self.num_train}, the "
                f"training samples of '{self.images}'"
            )
        # DDP averages the ranks' gradients. This is the batch's gradient only if the shares are equal.
        num_shares = self.share.world_size
        if self.batch_size % num_shares:
            raise UsageError(
                f"batch_size is {self.batch_size}, which {num_shares} devices cannot share equally: use a "
                f"multiple of {num_shares}, or a number of devices that divides {self.batch_size}"
            )

    def _loaded(self, part: str) -> Tensor:
        if not self._sources:
            raise UsageError("the data module holds no data yet: call setup() first")
        return self._indices[part]

    def _epoch_order(self, epoch: int) -> Tensor:
        indices = self._loaded("train")
        if self._order is None or self._order[0] != epoch:
            order = torch.from_numpy(epoch_order(self.seed, epoch, self.num_train)).to(indices.device)
            self._order = (epoch, indices[order])
        return self._order[1]

    def _batch(self, part: str, chosen: Tensor, stream: str, rows: Tensor) -> Batch:
        source = self._sources[self._parts[part].source]
        if not len(chosen):  # no transform has to handle an empty batch
            empty = torch.empty(self.sequence_length, 0, self.input_size, dtype=torch.float32, device=chosen.device)
            return empty.transpose(0, 1), source.labels[chosen]
        # index_select: indexing with brackets copies one byte at a time
        return self.make_sequences(source.images.index_select(0, chosen), stream, rows), source.labels[chosen]
