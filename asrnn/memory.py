"""The peak memory of a training step above what the process had before it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mib(work: Callable[[], object], device: str) -> float | None:
    """Run ``work`` and return by how many MiB the memory in use rose above where it was.

    On CPU that is the process's resident set, whose high-water mark Linux resets on request; where it refuses, the
    mark also counts what came before, and the result is an upper bound. ``None`` on a system without ``/proc``.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")
    resident = _status_mib("VmRSS")
    work()
    peak = _status_mib("VmHWM")
    return None if resident is None or peak is None else max(0.0, peak - resident)


def _status_mib(field: str) -> float | None:
    try:
        text = _STATUS.read_text(encoding="ascii")
        return int(text.partition(f"{field}:")[2].split()[0]) / 2**10
    except (OSError, IndexError):
        return None
