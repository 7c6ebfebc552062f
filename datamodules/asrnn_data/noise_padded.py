"""Define what the tasks with noise have in common: images read row by row, then noise."""

from pathlib import Path

from torch import Tensor

from asrnn_data.base import SequenceDataModule
from asrnn_data.transforms import pad_with_noise, rows_to_sequence, scale_images


class NoisePadded(SequenceDataModule):
    """Images read row by row, each row's channels one after the other, then noise up to T (Chang et al., 2019).

    Args:
        data_dir, images, batch_size, seed, eval_batch_size: as in `SequenceDataModule`.
        noise: a noise asset.

    Raises:
        UnknownNameError: an image set or a noise is not one of the task's.
        UsageError: as in `SequenceDataModule`.
    """

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
        super().__init__(data_dir, images=images, batch_size=batch_size, seed=seed, eval_batch_size=eval_batch_size)
        self.choose(noise=noise)

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, C, H, W]` as `[B, T, C * W]`: H steps of rows, then noise."""
        sequences = rows_to_sequence(scale_images(images, self.image_set.scaling))
        return pad_with_noise(sequences, self.sequence_length, self.variants["noise"], stream, rows)
