"""Cache the records of a leaderboards folder, so that a file that did not change is not read again.

The index can be deleted at any time; the next publication makes it again. An index that is damaged or of another
version is ignored. A file is taken from the index only if its size, times and inode are still the same, and if its
times are so much older than the index that a later change would show in them. One change does not show: a change in
place to the same size, after the file was read, in the same tick of the clock as the change before. Publications never
change a file in place; they replace it, which gives it another inode.
"""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from asrnn_bench.files.reading import read_file
from asrnn_bench.files.writing import replace
from asrnn_bench.records.record import SCHEMA_VERSION, Record

NAME = ".index"

FORMAT = f"records of schema {SCHEMA_VERSION}, index 1\n".encode()

LARGEST = 2 << 30
"""The most bytes of an index, which takes 2 to 4 KiB a record."""

FINE_NS, COARSE_NS = 50_000_000, 2_000_000_000
"""How far apart two changes may be and still get the same time: Linux counts in ticks of up to 10 ms, with a margin
here, and some file systems count in steps of one or two seconds."""

Stamp = tuple[int, int, int, int]
"""A file's size, times of its last modification and of its last change in nanoseconds, and inode."""

Kept = tuple[Stamp, str, Record]
"""The entry of a file: its stamp, the ``config`` of its job, which takes long to compute, and its record."""

_KEPT = TypeAdapter(dict[str, Kept])


class Index:
    """The index of one folder: its records, by the paths of their files below it."""

    def __init__(self, leaderboards: Path) -> None:
        self.path = leaderboards / NAME
        self._kept: dict[str, Kept] = {}
        self._noted: dict[str, Kept] = {}
        self._time = 0
        with suppress(OSError, ValidationError, RecursionError):
            content = read_file(self.path, LARGEST)
            claimed, _, body = content.partition(b"\n")
            if claimed == _digest(body):
                self._kept, self._time = _KEPT.validate_json(body, strict=True), self.path.stat().st_mtime_ns

    def record(self, name: str, stamp: Stamp) -> Record | None:
        """Return the record of a file, without its curve; ``None`` if the file may have changed since it was read."""
        known = self._kept.get(name)
        if known is None or known[0] != stamp or not _is_older(stamp, self._time):
            return None
        self._noted[name] = known
        _, config, record = known
        vars(record.job)["config"] = config  # where the job itself would keep it
        return record

    def note(self, name: str, stamp: Stamp, record: Record) -> None:
        """Add the record of a file, without its curve.

        Args:
            name: the file's path below the folder.
            stamp: the file's stamp before it was read, or after it was written.
            record: its record.
        """
        self._noted[name] = stamp, record.job.config, record

    def forget(self, name: str) -> None:
        """Remove a file that was deleted."""
        self._noted.pop(name, None)

    def save(self) -> None:
        """Write the records that were asked for or added, unless nothing changed or the folder cannot be written."""
        if len(self._noted) == len(self._kept) and all(self._kept.get(n) is kept for n, kept in self._noted.items()):
            return
        body = _KEPT.dump_json(dict(sorted(self._noted.items())))
        with suppress(OSError):
            replace(self.path, _digest(body) + b"\n" + body, durable=False)


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_older(stamp: Stamp, time: int) -> bool:
    """Return whether a change of the file after ``time``, when the index was written, would change its stamp."""
    latest = max(stamp[1], stamp[2])
    return latest + (FINE_NS if latest % 1_000_000_000 else COARSE_NS) < time


def _digest(body: bytes) -> bytes:
    return sha256(FORMAT + body).hexdigest().encode()
