"""Read what Linux's control groups leave to this process of processors and memory, as in a container."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


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
    cpu, memory = ([folder for found in group_folders(each, root) for folder in found] for each in ("cpu", "memory"))
    return Limits(
        min((found for folder in cpu if (found := _cpus(folder)) is not None), default=None),
        min((found for folder in memory if (found := _memory(folder)) is not None), default=None),
    )


def group_folders(controller: str, root: Path = Path("/")) -> Iterator[list[Path]]:
    """Yield the folders in which this process's control group is to be seen, once for each mount of its hierarchy.

    The group's own folder comes first, then those above it up to the mount. In a container the group's path may be the
    host's, of which the mount shows a part only, or another one altogether; the mount itself is then the container's
    own group.

    Args:
        controller: what the group is for; a group of version 2 may be for any.
        root: where ``proc`` and ``sys`` are; another folder in tests.
    """
    groups, mounts = (_lines(root / "proc/self" / name) for name in ("cgroup", "mountinfo"))
    for line in groups:
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        own = PurePosixPath(path)
        if not own.is_absolute() or (names and controller not in names.split(",")):
            continue
        for top, point in _mounts(mounts, controller if names else ""):
            is_shown = own.is_relative_to(top) and ".." not in own.parts
            inner = own.relative_to(top) if is_shown else PurePosixPath()
            yield [root / point / each for each in (inner, *inner.parents)]


def _mounts(lines: list[str], controller: str) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Yield which group each mount of a hierarchy shows, and where, relative to the root of the file system.

    Args:
        lines: those of ``mountinfo``.
        controller: that of a hierarchy of version 1; empty for version 2.
    """
    kind = "cgroup" if controller else "cgroup2"
    for line in lines:
        fields, _, rest = line.partition(" - ")
        parts, described = fields.split(), rest.split()
        if len(parts) < 5 or len(described) < 3 or described[0] != kind:
            continue
        if not controller or controller in described[2].split(","):
            yield PurePosixPath(parts[3]), PurePosixPath(parts[4].lstrip("/"))


def _lines(file: Path) -> list[str]:
    with suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    return []


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
