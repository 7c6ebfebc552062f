"""How often Linux has killed for want of memory where this process lives."""

from collections import deque
from pathlib import Path, PurePosixPath

REAL_PROC = Path("/proc")
_UNIFIED, _LEGACY = "memory.events", "memory.oom_control"

WINDOW_SECONDS = 10.0
"""How long a process with much memory may take to be gone after Linux has killed it."""


class OomWatch:
    """Whether Linux killed for want of memory shortly before a process was seen to have ended.

    Others live in the same control group, so kills of long before are not counted.
    """

    def __init__(self, proc: Path = REAL_PROC) -> None:
        self._proc = proc
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Note the count, while all processes run."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        self._seen.append((now, oom_kills(self._proc)))

    def ran_out(self) -> bool:
        """Return whether there were kills since the first of the last looks."""
        return bool(self._seen) and oom_kills(self._proc) > self._seen[0][1]


def oom_kills(proc: Path = REAL_PROC) -> int:
    """Return the kills that this process's control group counts; the machine's where no group says.

    Args:
        proc: where Linux describes processes.
    """
    for file in [*_counters(proc), proc / "vmstat"]:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
        if counts and counts[0].isdigit():
            return int(counts[0])
    return 0


def _counters(proc: Path) -> list[Path]:
    """Return where the count may stand, by the names of either version of control groups."""
    try:
        groups = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (proc / "self/mountinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            found += [folder / _UNIFIED for folder in _folders(mounts, group, "cgroup2", "")]
        elif "memory" in controllers.split(","):
            found += [folder / _LEGACY for folder in _folders(mounts, group, "cgroup", "memory")]
    return found


def _folders(mounts: list[str], group: str, kind: str, controller: str) -> list[Path]:
    """Return where a control group is to be seen: below the mount of its hierarchy.

    In a container the group's path may be the host's, of which the mount shows a part only, or another one altogether;
    the mount itself is then the container's own group.

    Args:
        mounts: the lines of ``mountinfo``.
        group: the group's path.
        kind: the type of the file system.
        controller: what the mount must be for; empty for any.
    """
    found = []
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        parts, described = fields.split(), rest.split()
        if len(parts) < 5 or len(described) < 3 or described[0] != kind:
            continue
        if controller and controller not in described[2].split(","):
            continue
        root, point = PurePosixPath(parts[3]), Path(parts[4])
        own = PurePosixPath(group)
        if own.is_relative_to(root):
            found.append(point / own.relative_to(root))
        found.append(point)
    return found
