"""Read what Linux's control groups leave to this process of processors and memory, as in a container."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CONTROLLERS = ("cpu", "memory")


@dataclass(frozen=True)
class Limits:
    """The least that any control group around this process allows; ``None`` where there is no limit.

    ``cpus`` is processor time per time, so that 0.5 is half a processor; ``memory`` is in bytes.
    """

    cpus: float | None = None
    memory: int | None = None


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits of this process's control groups and of all above them.

    Args:
        root: where ``proc`` and ``sys`` are; another folder in tests.
    """
    folders = list(group_folders(root))
    cpus = [found for folder in folders if (found := _cpus(folder)) is not None]
    memory = [found for folder in folders if (found := _memory(folder)) is not None]
    return Limits(min(cpus, default=None), min(memory, default=None))


def group_folders(root: Path = Path("/")) -> Iterator[Path]:
    """Yield the folders of this process's control groups of either version, each followed by those above it.

    In a container the path of ``/proc/self/cgroup`` may be the host's, which is not there: what is there is the mount
    itself, and that is the container's own group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        controllers = [name for name in names.split(",") if name in CONTROLLERS]
        tops = [mounts / names, *(mounts / name for name in controllers)] if controllers else []
        if not names:
            tops = [mounts, mounts / "unified"]  # version 2, by itself or beside version 1
        inner = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
        for top in dict.fromkeys(tops):
            for group in (inner, *inner.parents):
                if (top / group).is_dir():
                    yield top / group


def _cpus(folder: Path) -> float | None:
    """Return the processors that one group allows."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)  # "max" is no number, and no limit
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory(folder: Path) -> int | None:
    """Return the bytes that one group allows; version 1 writes the largest number there is for no limit."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found = int((folder / name).read_text(encoding="ascii"))
            return found if 0 < found < 1 << 60 else None
    return None
