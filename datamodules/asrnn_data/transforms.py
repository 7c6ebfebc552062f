"""From images to sequences: pure functions of tensors, a batch at a time.

Sequences `[B, T, I]` lie in memory step by step, as `[T, B, I]`: that is how recurrences read them.
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

_ALIGNMENT = 64  # bytes, as torch's own memory: where a product's operands lie can change its last bit


@dataclass(frozen=True)
class Scaling:
    """(pixel / `divisor` - mean) / deviation, with one mean and deviation a channel."""

    divisor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def constants(self) -> dict[str, Any]:
        """Return what the scaling is made of, for its digest."""
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
    """Return `[B, C, H, W]` as `[B, H * W, C]`: the C channels of one pixel a step, row by row."""
    return images.flatten(2).permute(2, 0, 1).contiguous().transpose(0, 1)


def rows_to_sequence(images: Tensor) -> Tensor:
    """Return `[B, C, H, W]` as `[B, H, C * W]`: one row a step, its first channel whole, then the next."""
    return images.permute(2, 0, 1, 3).flatten(2).transpose(0, 1)


def pad_with_noise(sequences: Tensor, length: int, noise: str, stream: str, rows: Tensor) -> Tensor:
    """Return sequences `[B, T, I]` followed by standard normal noise up to `length` steps.

    Args:
        sequences: `[B, T, I]` float32, T below `length`.
        length: steps of the result.
        noise: a noise asset.
        stream: what `rows` are counted in; see `asrnn_data.noise.fill_noise`.
        rows: `[B]` int64.
    """
    batch, steps, size = sequences.shape
    padded = _new_batch(length, batch, size, sequences.device).transpose(0, 1)
    padded[:, :steps] = sequences
    fill_noise(padded[:, steps:], noise, stream, rows)
    return padded


def _new_batch(length: int, batch: int, size: int, device: torch.device) -> Tensor:
    """Return float32 memory `[T, B, I]` to write to.

    On the CPU it is numpy's, which asks Linux for huge pages: to fill 49 MB that are new takes 9 ms, and 41 in torch's
    pages of 4 KiB. Nor does a deterministic torch fill it with NaN first.
    """
    if device.type != "cpu":
        return torch.empty(length, batch, size, dtype=torch.float32, device=device)
    num_bytes = length * batch * size * 4
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return torch.from_numpy(memory[start : start + num_bytes]).view(torch.float32).view(length, batch, size)
