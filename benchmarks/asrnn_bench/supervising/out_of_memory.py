"""Find out whether Linux killed a process for lack of memory."""

from collections import deque
from pathlib import Path

from asrnn_bench.machine.control_groups import group_folders

COUNTERS = ("memory.events", "memory.oom_control")
"""The files in which control groups of version 2 and version 1 count their kills."""

WINDOW_SECONDS = 10.0
"""How long a process with much memory may take to be gone after Linux killed it."""


class OomWatch:
    """Tells whether Linux killed a process for lack of memory shortly before a worker ended.

    Earlier kills are not counted, as other processes are in the same control group.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Record the count of kills, while all processes run."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        self._seen.append((now, oom_kills(self._root)))

    def ran_out(self) -> bool:
        """Return whether there were kills since the oldest record that is kept."""
        return bool(self._seen) and oom_kills(self._root) > self._seen[0][1]


def oom_kills(root: Path = Path("/")) -> int:
    """Return the count of kills in the control group of this process, or else on the whole machine.

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
