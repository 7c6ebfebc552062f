"""Reuse large buffers from scan to scan, because fresh memory costs a page fault for every 4 KiB."""

import math
import os
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Pool:
    """A pool of free flat buffers in main memory. On other devices torch's allocator already reuses freed memory.

    It keeps at most as many bytes as were ever in use at once, and drops the buffers that were given back first.
    """

    def __init__(self) -> None:
        # Re-entrant, because garbage collection during `take` may give buffers back.
        self._lock = threading.RLock()
        self._free: list[Tensor] = []
        self._used = self._most_used = 0

    def take(self, numel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a flat buffer with ``numel`` elements, or up to a quarter more, and arbitrary content."""
        with self._lock:
            buffer = self._reusable(numel, dtype) if device.type == "cpu" else None
            if buffer is None:
                # The next scan may run outside inference mode and could not write to an inference tensor.
                with torch.inference_mode(False):
                    buffer = torch.empty(numel, dtype=dtype, device=device)
            if device.type == "cpu":
                self._used += buffer.nbytes
                self._most_used = max(self._most_used, self._used)
            return buffer

    def give_back(self, buffers: Sequence[Tensor]) -> None:
        with self._lock:
            kept = [buffer for buffer in buffers if buffer.device.type == "cpu" and buffer.numel()]
            self._used -= sum(buffer.nbytes for buffer in kept)
            self._free += kept
            while sum(buffer.nbytes for buffer in self._free) > self._most_used:
                del self._free[0]

    def clear(self) -> None:
        with self._lock:
            self._free, self._most_used = [], self._used

    def _reusable(self, numel: int, dtype: torch.dtype) -> Tensor | None:
        fitting = [b for b in self._free if b.dtype == dtype and numel <= b.numel() <= 1.25 * numel]
        best = min(fitting, key=Tensor.numel, default=None)
        self._free = [buffer for buffer in self._free if buffer is not best]
        return best


_pool = _Pool()


def _new_pool() -> None:
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_new_pool)  # another thread of the parent may hold the lock


def free_buffers() -> None:
    """Return the memory of all buffers that no scan uses to the system."""
    _pool.clear()


class Buffers:
    """The buffers of one scan, from :meth:`take` until :meth:`give_back` or until this object is garbage.

    Args:
        dtype: the precision of all its buffers.
        device: the device of all its buffers.
    """

    _held: Sequence[Tensor] = ()

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device, self._pool = dtype, device, _pool

    def take(self, *shape: int) -> Tensor:
        """Return a buffer of this shape with arbitrary content."""
        numel = math.prod(shape)
        flat = self._pool.take(numel, self.dtype, self.device)
        self._held = [*self._held, flat]
        with torch.inference_mode(False):
            return flat[:numel].view(shape)

    def give_back(self) -> None:
        """Give the buffers back to the pool. From then on views of them may show the numbers of another scan."""
        held, self._held = self._held, ()
        if held:
            self._pool.give_back(held)

    def __del__(self) -> None:
        self.give_back()
