"""The tasks on photographs: pixel by pixel in colour, and row by row before noise."""

from pathlib import Path

from torch import Tensor

from asrnn_data.base import SequenceDataModule
from asrnn_data.tasks import find_task
from asrnn_data.transforms import pad_with_noise, pixels_to_sequence, rows_to_sequence, scale_images


class PixelCIFAR10(SequenceDataModule):
    """Photographs read pixel by pixel, red, green and blue at each step: T=1024, I=3 (Chang et al., 2019).

    Arguments and errors are those of `SequenceDataModule`.
    """

    task = find_task("pixel-cifar10")

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, 3, 32, 32]` as `[B, 1024, 3]`."""
        return pixels_to_sequence(scale_images(images, self.image_set.scaling))


class NoisePaddedCIFAR10(SequenceDataModule):
    """Photographs read row by row in 32 steps, then 968 steps of noise: T=1000, I=96 (Chang et al., 2019).

    A row is its 32 reds, 32 greens and 32 blues.

    Args:
        data_dir, images, batch_size, seed, eval_batch_size: as in `SequenceDataModule`.
        noise: a noise asset.
    """

    task = find_task("noise-padded-cifar10")

    def __init__(
        self,
        data_dir: str | Path | None = None,
        *,
        images: str | None = None,
        batch_size: int = 128,
        seed: int = 0,
        eval_batch_size: int = 250,
        noise: str = "per-sample-v1",
    ) -> None:
        super().__init__(
            data_dir,
            images=images,
            batch_size=batch_size,
            seed=seed,
            eval_batch_size=eval_batch_size,
            noise=noise,
        )

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, 3, 32, 32]` as `[B, 1000, 96]`."""
        sequences = rows_to_sequence(scale_images(images, self.image_set.scaling))
        return pad_with_noise(sequences, self.sequence_length, self.variants["noise"], stream, rows)
