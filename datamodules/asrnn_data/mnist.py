"""Define the tasks on handwritten digits: pixel by pixel, in a fixed random order, and row by row before noise."""

from pathlib import Path

import torch
from torch import Tensor

from asrnn_data.base import SequenceDataModule
from asrnn_data.noise_padded import NoisePadded
from asrnn_data.permutations import make_permutation
from asrnn_data.tasks import find_task
from asrnn_data.transforms import pixels_to_sequence, scale_images


class PixelMNIST(SequenceDataModule):
    """Digits read pixel by pixel, row by row from the top left: T=784, I=1 (Le, Jaitly and Hinton, 2015).

    Arguments and errors are those of `SequenceDataModule`.
    """

    task = find_task("pixel-mnist")

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, 1, 28, 28]` as `[B, 784, 1]`."""
        return pixels_to_sequence(scale_images(images, self.image_set.scaling))


class PermutedMNIST(SequenceDataModule):
    """Digits read pixel by pixel in one fixed order: T=784, I=1 (Le, Jaitly and Hinton, 2015).

    Args:
        data_dir, images, batch_size, seed, eval_batch_size: as in `SequenceDataModule`.
        permutation: a permutation asset; step t reads pixel p[t].

    Raises:
        UnknownNameError: an image set or a permutation is not one of the task's.
        UsageError: as in `SequenceDataModule`.
    """

    task = find_task("permuted-mnist")

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        images: str | None = None,
        batch_size: int = 128,
        seed: int = 0,
        eval_batch_size: int = 250,
        permutation: str = "urnn-92916",
    ) -> None:
        super().__init__(data_dir, images=images, batch_size=batch_size, seed=seed, eval_batch_size=eval_batch_size)
        self.choose(permutation=permutation)

    def setup(self, stage: str | None = None) -> None:
        """Read the images, as `SequenceDataModule.setup` does, and move the permutation to their device."""
        super().setup(stage)
        permutation = torch.from_numpy(make_permutation(self.variants["permutation"]))
        self._permutation = permutation.to(self._indices["train"].device)

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, 1, 28, 28]` as `[B, 784, 1]`."""
        sequences = pixels_to_sequence(scale_images(images, self.image_set.scaling))
        return sequences.transpose(0, 1).index_select(0, self._permutation).transpose(0, 1)


class NoisePaddedMNIST(NoisePadded):
    """Digits read row by row in 28 steps, then 972 steps of noise: T=1000, I=28 (after Chang et al., 2019).

    Arguments and errors are those of `NoisePadded`.
    """

    task = find_task("noise-padded-mnist")
