"""Make standard normal noise as a pure function of (asset, stream, row, position), on any device.

A 64-bit counter passes through the mixer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Each of the four 16-bit
integers of a word is the index of a quantile of the normal distribution, at (i + 1/2) / 65536. Integer arithmetic and a
table of exact float32 values give the same numbers on every machine, for every batch split, rank, thread count and
device. C computes them on a CPU with a compiler, torch elsewhere. The distribution is therefore discrete: 65,536
equally likely values, none beyond 4.33 standard deviations, with variance 0.99998.
"""

import ctypes
import hashlib
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from asrnn.compiling import load_library
from asrnn.ops.tiles import for_each_tile, tiles_of
from asrnn_data.protocol import find_asset

# Given wherever a tensor is made: a user may have set another default device or dtype.
_CPU: Final = torch.device("cpu")
_LANES: Final = 4  # 16-bit integers in a 64-bit word
_CPU_BLOCK: Final = 1 << 15  # words of one pass: 256 KiB, which stay in the cache


def _signed(word: int) -> int:
    """Return the int64 with the bits of a 64-bit word."""
    return word - (1 << 64) if word >> 63 else word


_GAMMA: Final = _signed(0x9E3779B97F4A7C15)  # the increment of SplitMix64
_ROUNDS: Final = (  # right shift, then multiplier
    (30, _signed(0xBF58476D1CE4E5B9)),
    (27, _signed(0x94D049BB133111EB)),
)
_LAST_SHIFT: Final = 31


def fill_noise(out: Tensor, asset: str, stream: str, rows: Tensor) -> Tensor:
    r"""Fill `out` in place with the noise of an asset and return it.

    With g the increment of SplitMix64 and k the first eight bytes of the sha256 of asset and stream, row r
    has the key :math:`k_r = \mathrm{mix}(k + (r + 1) g)`, and its words are
    :math:`w_j = \mathrm{mix}(k_r + (j + 1) g)`; the value at flat position p is the quantile of the p mod
    4-th 16-bit integer of word p div 4, with the lowest bits first.

    Args:
        out: `[B, T, I]` float32; a slice along time and another order in memory are fine.
        asset: ``"per-sample-v1"``, or ``"shared-v1"``, which ignores stream and rows.
        stream: the name of the stream, such as ``"batch/<seed>/<step>"`` or ``"sample/test"``.
        rows: `[B]` int64, on the device of `out`.

    Raises:
        UnknownNameError: there is no such asset.
    """
    name = find_asset(asset, kind="noise").name
    if name == "shared-v1":
        first = torch.zeros(1, dtype=torch.int64, device=out.device)
        out[1:] = _fill_rows(out[:1], _row_keys(name, first))
        return out
    return _fill_rows(out, _row_keys(f"{name}/{stream}", rows))


def noise_sample(asset: str) -> Tensor:
    """Return the values `[6, 1000]` whose bytes are the digest of a noise asset."""
    sample = torch.empty(3, 2, 500, 2, dtype=torch.float32, device=_CPU)
    for out, stream in zip(sample, ("batch/0/0", "batch/7/49999", "sample/test"), strict=True):
        fill_noise(out, asset, stream, torch.tensor([0, 9_999], device=_CPU))
    return sample.reshape(6, 1000)


def _row_keys(stream: str, rows: Tensor) -> Tensor:
    digest = hashlib.sha256(f"asrnn-bench/noise/{stream}".encode()).digest()
    keys = rows.add(1).mul_(_GAMMA).add_(int.from_bytes(digest[:8], "little", signed=True))
    return _mix(keys, torch.empty_like(keys))


def _fill_rows(out: Tensor, keys: Tensor) -> Tensor:
    whole = out.shape[2] == 1 or out.stride(2) == 1
    fill = _compiled() if out.device.type == "cpu" and whole else None
    if fill is None:
        return _fill_with_torch(out, keys)
    for_each_tile(lambda tile: fill(out[tile], keys[tile]), tiles_of(len(out)))
    return out


@cache
def _compiled() -> Callable[[Tensor, Tensor], None] | None:
    """Return the compiled function that fills rows, after a test that it gives the bits of torch."""
    library = load_library("noise", Path(__file__).with_name("noise.c"))
    if isinstance(library, str):
        return None
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    library.fill_rows.argtypes, library.fill_rows.restype = [size] * 5 + [pointer] * 3, None
    quantiles = _quantiles(_CPU)

    def fill(out: Tensor, keys: Tensor) -> None:
        rows, (steps, size) = out.stride(0), out.shape[1:]
        sizes = (len(out), 1, steps * size, rows, 0) if out[0].is_contiguous() else (*out.shape, rows, out.stride(1))
        library.fill_rows(*sizes, keys.data_ptr(), quantiles.data_ptr(), out.data_ptr())

    found, expected = torch.zeros(2, 143, 3, 7, dtype=torch.float32, device=_CPU).transpose(1, 2)
    keys = _row_keys("trial", torch.arange(3, device=_CPU))
    fill(found, keys)
    if not torch.equal(found, _fill_with_torch(expected, keys)):
        warnings.warn("the compiled noise is not used: it differs from torch's", RuntimeWarning, stacklevel=2)
        return None
    return fill


def _fill_with_torch(out: Tensor, keys: Tensor) -> Tensor:
    size = out[0].numel()
    num_words = -(-size // _LANES)
    counters = _counters(num_words, out.device)
    table = _quantiles(out.device)
    rows = max(1, _CPU_BLOCK // num_words) if out.device.type == "cpu" else len(out)
    words = torch.empty(rows, num_words, dtype=torch.int64, device=out.device)
    scratch = torch.empty_like(words)
    lanes = torch.empty(rows, num_words * _LANES, dtype=torch.int32, device=out.device)
    for block, key in zip(torch.split(out, rows), torch.split(keys[:, None], rows), strict=True):
        n = len(block)
        torch.add(counters, key, out=words[:n])
        lanes[:n].copy_(_mix(words[:n], scratch[:n]).view(torch.uint16))
        chosen = lanes[:n, :size].reshape(-1)
        if block.is_contiguous():
            torch.index_select(table, 0, chosen, out=block.view(-1))
        else:
            block.copy_(torch.index_select(table, 0, chosen).view(block.shape))
    return out


def _mix(words: Tensor, scratch: Tensor) -> Tensor:
    """Mix int64 words in place, as SplitMix64 does: multiplication wraps, and shifts insert zeros."""
    for shift, multiplier in _ROUNDS:
        _xor_shifted(words, shift, scratch).mul_(multiplier)
    return _xor_shifted(words, _LAST_SHIFT, scratch)


def _xor_shifted(words: Tensor, shift: int, scratch: Tensor) -> Tensor:
    torch.bitwise_right_shift(words, shift, out=scratch)
    # a shift of int64 inserts copies of the sign; the mask replaces them by zeros
    return words.bitwise_xor_(scratch.bitwise_and_((1 << (64 - shift)) - 1))


@lru_cache(maxsize=8)
def _counters(num_words: int, device: torch.device) -> Tensor:
    return torch.arange(1, num_words + 1, dtype=torch.int64, device=device).mul_(_GAMMA)


@lru_cache(maxsize=8)
def _quantiles(device: torch.device) -> Tensor:
    """Return the 65,536 quantiles as multiples of 2**-16, so that no last bit of a library matters."""
    lower = torch.special.ndtri((torch.arange(1 << 15, dtype=torch.float64, device=_CPU) + 0.5) / (1 << 16))
    lower = lower.mul_(1 << 16).round_().div_(1 << 16)
    return torch.cat([lower, lower.neg().flip(0)]).to(device=device, dtype=torch.float32)
