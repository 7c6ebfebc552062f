"""How often Linux has killed for want of memory where this process lives."""

from collections import deque
from pathlib import Path

from asrnn_bench.machine.control_groups import group_folders

COUNTERS = ("memory.events", "memory.oom_control")
"""Where a control group of version 2, and one of version 1, counts its kills."""

WINDOW_SECONDS = 10.0
"""How long a process with much memory may take to be gone after Linux has killed it."""


class OomWatch:
    """Whether Linux killed for want of memory shortly before a process was seen to have ended.

    Others live in the same control group, so kills of long before are not counted.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Note the count, while all processes run."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        self._seen.append((now, oom_kills(self._root)))

    def ran_out(self) -> bool:
        """Return whether there were kills since the first of the last looks."""
        return bool(self._seen) and oom_kills(self._root) > self._seen[0][1]


def oom_kills(root: Path = Path("/")) -> int:
    """Return the kills that this process's control group counts; the machine's where no group says.

    Args:
        root: where ``proc`` and ``sys`` are; another folder in tests.
    """
    groups = [folder for found in group_folders("memory", root) for folder in (found[0], found[-1])]
    files = [folder / name for folder in groups for name in COUNTERS]
    for file in [*files, root / "proc/vmstat"]:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
        if counts and counts[0].isdigit():
            return int(counts[0])
    return 0
