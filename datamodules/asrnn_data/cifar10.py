"""Define the tasks on photographs: pixel by pixel in colour, and row by row before noise."""

from torch import Tensor

from asrnn_data.base import SequenceDataModule
from asrnn_data.noise_padded import NoisePadded
from asrnn_data.tasks import find_task
from asrnn_data.transforms import pixels_to_sequence, scale_images


class PixelCIFAR10(SequenceDataModule):
    """Photographs read pixel by pixel, red, green and blue at each step: T=1024, I=3 (Chang et al., 2019).

    Arguments and errors are those of `SequenceDataModule`.
    """

    task = find_task("pixel-cifar10")

    def make_sequences(self, images: Tensor, stream: str, rows: Tensor) -> Tensor:
        """Return images `[B, 3, 32, 32]` as `[B, 1024, 3]`."""
        return pixels_to_sequence(scale_images(images, self.image_set.scaling))


class NoisePaddedCIFAR10(NoisePadded):
    """Photographs read row by row in 32 steps, then 968 steps of noise: T=1000, I=96 (Chang et al., 2019).

    A row is its 32 reds, 32 greens and 32 blues. Arguments and errors are those of `NoisePadded`.
    """

    task = find_task("noise-padded-cifar10")
