"""Measure by how much a function raises the memory of the process."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mib(work: Callable[[], object], device: str) -> float | None:
    """Run ``work`` and return its peak memory above the memory in use before, in MiB.

    On a CPU this is the peak of the process's resident set, which Linux resets on request. If Linux refuses, the peak
    includes earlier work, and the result is an upper bound. On a system without ``/proc`` it is None.

    Args:
        work: the function to measure.
        device: ``cuda`` to measure torch's allocations on the current GPU; otherwise the process is measured.
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
