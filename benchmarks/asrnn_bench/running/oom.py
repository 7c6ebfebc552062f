"""How often Linux has killed for want of memory where this process lives."""

from pathlib import Path

_UNIFIED, _LEGACY = "memory.events", "memory.oom_control"


def oom_kills() -> int:
    """Return the kills that this process's control group counts, 0 where it does not say."""
    for file in _counters():
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
        if counts and counts[0].isdigit():
            return int(counts[0])
    return 0


def _counters() -> list[Path]:
    """Return where the count may stand, by the names of either version of control groups."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            found.append(Path("/sys/fs/cgroup") / group.lstrip("/") / _UNIFIED)
        elif "memory" in controllers.split(","):
            found.append(Path("/sys/fs/cgroup/memory") / group.lstrip("/") / _LEGACY)
    return found
