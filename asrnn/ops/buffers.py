"""Big buffers that are leased to one scan at a time and used again: fresh memory costs a page fault every 4 KiB."""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

_MOST_FREE = 16  # buffers that wait for their next scan; the least recently used goes first


class _Pool:
    """Free flat buffers in main memory. On other devices torch's own allocator already keeps what was freed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a lease may end in the middle of `take`, when garbage is collected there
        self._free: list[Tensor] = []

    def take(self, numel: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a flat buffer of ``numel`` elements or up to a quarter more, of any content."""
        with self._lock:
            fitting = [b for b in self._free if b.dtype == dtype and numel <= b.numel() <= 1.25 * numel]
            if fitting and device.type == "cpu":
                best = min(fitting, key=Tensor.numel)
                self._free = [buffer for buffer in self._free if buffer is not best]
                return best
        # An inference tensor could not be written to by the next scan outside of inference mode.
        with torch.inference_mode(False):
            return torch.empty(numel, dtype=dtype, device=device)

    def give_back(self, buffers: Sequence[Tensor]) -> None:
        with self._lock:
            self._free = [*self._free, *(b for b in buffers if b.device.type == "cpu" and b.numel())][-_MOST_FREE:]

    def clear(self) -> None:
        with self._lock:
            self._free = []


_pool = _Pool()


def free_buffers() -> None:
    """Give the memory of all buffers that no scan is using back to the system."""
    _pool.clear()


class Lease:
    """The buffers of one scan, its own from :meth:`take` until :meth:`end`, or until nobody holds the lease."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._held: list[Tensor] = []

    def take(self, *shape: int) -> Tensor:
        """Lease a buffer of this shape; it may hold anything."""
        numel = math.prod(shape)
        flat = _pool.take(numel, self.dtype, self.device)
        self._held.append(flat)
        with torch.inference_mode(False):
            return flat[:numel].view(shape)

    def end(self) -> None:
        """Give the buffers back: whoever still reads a view of them reads another scan's numbers."""
        held, self._held = self._held, []
        _pool.give_back(held)

    def __del__(self) -> None:
        self.end()
