"""Big buffers that are leased to one scan at a time and used again: fresh memory costs a page fault every 4 KiB."""

import math
import os
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Pool:
    """Free flat buffers in main memory. On other devices torch's own allocator already keeps what was freed.

    It keeps as many bytes as were ever leased at once, those that were given back last.
    """

    def __init__(self) -> None:
        # A lease may end in the middle of `take`, when garbage is collected there.
        self._lock = threading.RLock()
        self._free: list[Tensor] = []
        self._leased = self._most_leased = 0

    def take(self, numel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a flat buffer of ``numel`` elements or up to a quarter more, of any content."""
        with self._lock:
            found = self._found(numel, dtype) if device.type == "cpu" else None
            if found is None:
                # An inference tensor could not be written to by the next scan outside of inference mode.
                with torch.inference_mode(False):
                    found = torch.empty(numel, dtype=dtype, device=device)
            if device.type == "cpu":
                self._leased += found.nbytes
                self._most_leased = max(self._most_leased, self._leased)
            return found

    def give_back(self, buffers: Sequence[Tensor]) -> None:
        with self._lock:
            kept = [buffer for buffer in buffers if buffer.device.type == "cpu" and buffer.numel()]
            self._leased -= sum(buffer.nbytes for buffer in kept)
            self._free += kept
            while sum(buffer.nbytes for buffer in self._free) > self._most_leased:
                del self._free[0]

    def clear(self) -> None:
        with self._lock:
            self._free, self._most_leased = [], self._leased

    def _found(self, numel: int, dtype: torch.dtype) -> Tensor | None:
        fitting = [b for b in self._free if b.dtype == dtype and numel <= b.numel() <= 1.25 * numel]
        best = min(fitting, key=Tensor.numel, default=None)
        self._free = [buffer for buffer in self._free if buffer is not best]
        return best


_pool = _Pool()


def _forget() -> None:
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_forget)  # another thread may have held the lock


def free_buffers() -> None:
    """Give the memory of all buffers that no scan is using back to the system."""
    _pool.clear()


class Lease:
    """The buffers of one scan, its own from :meth:`take` until :meth:`end`, or until nobody holds the lease."""

    _held: Sequence[Tensor] = ()

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device, self._pool = dtype, device, _pool

    def take(self, *shape: int) -> Tensor:
        """Lease a buffer of this shape; it may hold anything."""
        numel = math.prod(shape)
        flat = self._pool.take(numel, self.dtype, self.device)
        self._held = [*self._held, flat]
        with torch.inference_mode(False):
            return flat[:numel].view(shape)

    def end(self) -> None:
        """Give the buffers back: whoever still reads a view of them reads another scan's numbers."""
        held, self._held = self._held, ()
        if held:
            self._pool.give_back(held)

    def __del__(self) -> None:
        self.end()
