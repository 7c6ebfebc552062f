"""Read the limits of processors and memory that Linux's control groups set for this process, as in a container."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Limits:
    """The smallest limits of all control groups around this process; ``None`` if there is no limit.

    Args:
        cpus: processor time per time: 0.5 is half a processor.
        memory: bytes.
    """

    cpus: float | None = None
    memory: int | None = None


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits of this process's control groups and of all above them.

    Args:
        root: the folder that holds ``proc`` and ``sys``; tests use another one.
    """
    cpu, memory = ([folder for found in group_folders(each, root) for folder in found] for each in ("cpu", "memory"))
    return Limits(
        min((found for folder in cpu if (found := _cpus(folder)) is not None), default=None),
        min((found for folder in memory if (found := _memory(folder)) is not None), default=None),
    )


def group_folders(controller: str, root: Path = Path("/")) -> Iterator[list[Path]]:
    """Yield the folders of this process's control group and of those above it, once for each mount of its hierarchy.

    The group's own folder comes first, and the mount last. In a container the path of the group can be the host's, of
    which the mount shows a part or nothing; then the mount itself is the container's group.

    Args:
        controller: what the group limits, ``cpu`` or ``memory``; a group of version 2 can limit both.
        root: the folder that holds ``proc`` and ``sys``; tests use another one.
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
    """Yield the group that each mount of a hierarchy shows, and the folder of the mount, relative to the root.

    Args:
        lines: the lines of ``mountinfo``.
        controller: the controller of a hierarchy of version 1; empty for version 2.
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
    """Return the processors that one group allows, if it has a limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)  # "max" is not a number, and means no limit
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory(folder: Path) -> int | None:
    """Return the bytes that one group allows, if it has a limit; version 1 writes a huge number for none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            found = int((folder / name).read_text(encoding="ascii"))
            return found if 0 < found < 1 << 60 else None
    return None
