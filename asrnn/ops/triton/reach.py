"""Decide which hidden sizes the Triton kernels support on which GPU, and at which precision."""

from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16"]
"""The precision of the recurrent weight on the chip. Sums, states and everything in memory are float32."""

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
"""From the most accurate to the smallest."""

BYTES_PER_WEIGHT: dict[Precision, int] = {"float32": 8, "tf32": 4, "bfloat16": 2}
"""The bytes of one weight in shared memory. A float32 weight is stored as two tf32 halves of four bytes each."""

ROWS = 16
"""The samples in a tile: the fewest that fill the tensor cores, because more tiles keep more of the chip busy."""

OLDEST = (8, 0)
"""The first compute capability whose tensor cores support tf32 and bfloat16."""


@dataclass(frozen=True, slots=True)
class Chip:
    """The properties of a GPU that limit the kernels.

    Args:
        capability: its compute capability, (9, 0) for sm_90.
        shared_bytes: the largest shared memory of a block.
    """

    capability: tuple[int, int]
    shared_bytes: int

    @property
    def name(self) -> str:
        """The name that compilers use, such as ``sm_90``."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


CHIPS = (Chip((8, 0), 163 * 1024), Chip((9, 0), 227 * 1024), Chip((10, 0), 227 * 1024))
"""The chips for which the kernels are compiled ahead of time: A100, H100 and H200, B200."""


def chip_of(device: torch.device) -> Chip:
    """Return the chip of a CUDA device."""
    found = torch.cuda.get_device_properties(device)
    # From compute capability 8.0 on, a block may use all of it but 1 KiB, which the system reserves.
    return Chip((found.major, found.minor), found.shared_memory_per_multiprocessor - 1024)


def padded_width(hidden_size: int) -> int:
    """Return W, the next power of two from 16 on, which a tile of the tensor cores needs."""
    return max(16, 1 << (hidden_size - 1).bit_length())


def num_warps(hidden_size: int) -> int:
    """Return the number of warps per tile: the fewest that spill no registers up to W = 128."""
    return min(8, padded_width(hidden_size) // 16)


def shared_bytes(hidden_size: int, precision: Precision) -> int:
    """Return the shared memory of a program in bytes: the weight, and two float32 tiles that the threads exchange."""
    width = padded_width(hidden_size)
    return width * width * BYTES_PER_WEIGHT[precision] + 2 * ROWS * width * 4


def precision_for(hidden_size: int, chip: Chip) -> Precision | None:
    """Return the best precision at which the recurrent weight fits on a chip, or None if none does."""
    fitting = (precision for precision in PRECISIONS if shared_bytes(hidden_size, precision) <= chip.shared_bytes)
    return next(fitting, None)


def why_not(device: torch.device, dtype: torch.dtype, hidden_size: int) -> str | None:
    """Return why the kernels cannot scan tensors of this device, precision and size, in a sentence, or None."""
    if device.type != "cuda":
        return f"the kernels are for NVIDIA GPUs, and the device is {device.type}"
    if torch.version.hip is not None:
        return "the kernels are for NVIDIA GPUs, and this torch is built for AMD's"
    if dtype != torch.float32:
        return f"the kernels compute in float32, and the tensors are {str(dtype).removeprefix('torch.')}"
    return _why_not_on(chip_of(device), hidden_size) or _why_no_triton()


def _why_not_on(chip: Chip, hidden_size: int) -> str | None:
    if chip.capability < OLDEST:
        return (
            f"the kernels need tensor cores for tf32 and bfloat16, which sm_80 and later have, and this is {chip.name}"
        )
    if precision_for(hidden_size, chip) is None:
        needed, there = shared_bytes(hidden_size, PRECISIONS[-1]) // 1024, chip.shared_bytes // 1024
        return (
            f"a hidden size of {hidden_size} needs {needed} KiB of shared memory even in {PRECISIONS[-1]}, "
            f"and a block of {chip.name} has {there} KiB"
        )
    return None


def _why_no_triton() -> str | None:
    try:
        # Imported only where there is a GPU, because importing triton is slow.
        from asrnn.ops.triton import kernels as triton_kernels
    except ImportError as error:
        return f"triton cannot be imported: {error}"
    return None if triton_kernels.INSTALLED else "triton is not installed"
