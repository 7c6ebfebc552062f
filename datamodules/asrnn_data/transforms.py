"""Turn batches of images into sequences, by pure functions of tensors.

Sequences `[B, T, I]` are stored step by step, as `[T, B, I]`, the order in which recurrences read them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrnn.errors import UnknownNameError
from asrnn_data.noise import fill_noise

_ALIGNMENT = 64  # bytes, as in torch: the alignment of a product's operands can change its last bit


@dataclass(frozen=True)
class Scaling:
    """A scaling (pixel / `divisor` - mean) / deviation, with one mean and deviation for each channel."""

    divisor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def constants(self) -> dict[str, Any]:
        """Return the constants of the scaling, for its digest."""
        return asdict(self)


SCALINGS: Mapping[str, Scaling] = MappingProxyType(
    {
        "unit": Scaling(255.0, (0.0,), (1.0,)),
        # measured over all 50,000 training images of CIFAR-10; a test measures them again
        "cifar10-channels-v1": Scaling(
            255.0, (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)
        ),
    }
)


def scale_images(images: Tensor, scaling: str) -> Tensor:
    """Return uint8 images `[B, C, H, W]` as scaled float32.

    Raises:
        UnknownNameError: there is no such scaling.
    """
    if scaling not in SCALINGS:
        raise UnknownNameError("scaling", scaling, SCALINGS)
    constants = SCALINGS[scaling]
    mean, deviation = (
        torch.tensor(values, dtype=torch.float32, device=images.device).view(-1, 1, 1)
        for values in (constants.mean, constants.deviation)
    )
    return images.to(torch.float32).div_(constants.divisor).sub_(mean).div_(deviation)


def pixels_to_sequence(images: Tensor) -> Tensor:
    """Return `[B, C, H, W]` as `[B, H * W, C]`: one pixel with its C channels at each step, row by row."""
    return images.flatten(2).permute(2, 0, 1).contiguous().transpose(0, 1)


def rows_to_sequence(images: Tensor) -> Tensor:
    """Return `[B, C, H, W]` as `[B, H, C * W]`: one row at each step, one channel after the other."""
    return images.permute(2, 0, 1, 3).flatten(2).transpose(0, 1)


def pad_with_noise(sequences: Tensor, length: int, noise: str, stream: str, rows: Tensor) -> Tensor:
    """Return sequences `[B, T, I]` followed by standard normal noise up to `length` steps.

    Args:
        sequences: `[B, T, I]` float32, T below `length`.
        length: the number of steps of the result.
        noise: a noise asset.
        stream: the name of the noise stream; see `asrnn_data.noise.fill_noise`.
        rows: `[B]` int64.
    """
    batch, steps, size = sequences.shape
    padded = _new_batch(length, batch, size, sequences.device).transpose(0, 1)
    padded[:, :steps] = sequences
    fill_noise(padded[:, steps:], noise, stream, rows)
    return padded


def _new_batch(length: int, batch: int, size: int, device: torch.device) -> Tensor:
    """Return uninitialised float32 memory `[T, B, I]`.

    On the CPU numpy allocates it, with huge pages: filling 49 MB of fresh memory takes 9 ms, against 41 ms in torch's
    pages of 4 KiB. Also, torch in deterministic mode would fill it with NaN first.
    """
    if device.type != "cpu":
        return torch.empty(length, batch, size, dtype=torch.float32, device=device)
    num_bytes = length * batch * size * 4
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return torch.from_numpy(memory[start : start + num_bytes]).view(torch.float32).view(length, batch, size)
