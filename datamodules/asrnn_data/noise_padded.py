"""What the tasks with noise share: images read row by row, and then noise."""

from torch import Tensor

from asrnn_data.base import SequenceDataModule
from asrnn_data.transforms import pad_with_noise, rows_to_sequence, scale_images


class NoisePadded(SequenceDataModule):
    """Images read row by row, each row's channels one after the other, then noise up to T (Chang et al., 2019).

    Args:
        data_dir, images, batch_size, seed, eval_batch_size: as in `SequenceDataModule`.
        noise: a noise asset.
    """

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, C, H, W]` as `[B, T, C * W]`, the first H steps of which are theirs."""
        sequences = rows_to_sequence(scale_images(images, self.image_set.scaling))
        return pad_with_noise(sequences, self.sequence_length, self.variants["noise"], stream, rows)
