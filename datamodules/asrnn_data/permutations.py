"""Make the orders in which the 784 pixels of a digit are read, one for each convention of the field."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from asrnn_data.protocol import find_asset

LENGTH: Final = 784

_NUMPY_SEEDS = {"urnn-92916": 92916}
_TORCH_SEEDS = {"cornn-12008": 12008, "lem-5544": 5544}


def make_permutation(name: str) -> NDArray[np.int64]:
    """Return the permutation p `[784]` of a permutation asset: step t reads pixel p[t], counted row by row.

    Sources: stwisdom/urnn and expRNN (RandomState(92916)), tk-rusch/coRNN (seed 12008), tk-rusch/LEM (seed
    5544), HiPPO and S4 (bit reversal). Each is drawn from a generator of its own.

    Raises:
        UnknownNameError: there is no such permutation.
    """
    find_asset(name, kind="permutation")
    if name in _NUMPY_SEEDS:
        return np.random.RandomState(_NUMPY_SEEDS[name]).permutation(LENGTH).astype(np.int64)
    if name in _TORCH_SEEDS:
        return _torch_permutation(_TORCH_SEEDS[name])
    return _bit_reversal()


def _torch_permutation(seed: int) -> NDArray[np.int64]:
    import torch

    order: NDArray[np.int64] = torch.randperm(
        LENGTH, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.int64, device="cpu"
    ).numpy()
    return order


def _bit_reversal() -> NDArray[np.int64]:
    bits = (LENGTH - 1).bit_length()
    positions = np.arange(1 << bits, dtype=np.int64)
    reversed_positions = np.zeros_like(positions)
    for bit in range(bits):
        reversed_positions |= ((positions >> bit) & 1) << (bits - 1 - bit)
    return reversed_positions[reversed_positions < LENGTH]
