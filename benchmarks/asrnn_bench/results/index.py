"""Remember what the records of a leaderboards folder say, so that a file that did not change is not read again.

The index is a cache: it can be deleted at any time and is made again by the next publication. It is left out where it
is damaged or of another version. Of a file it is believed only while the file's size, times and inode are those that
it had when it was read, and its times are so much older than the index that a change since then would show in them. One
change in place does not show: of the same size, in the same tick of the clock as the change before, after the file was
read. Publications never change a file in place; they replace it, which gives it another inode.
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
"""Bytes of an index, which takes 2 to 4 KiB a record."""

FINE_NS, COARSE_NS = 50_000_000, 2_000_000_000
"""How far the times of two changes of a file may be apart and look the same: Linux counts in ticks of up to 10 ms, and
some file systems in whole seconds or pairs of them."""

Stamp = tuple[int, int, int, int]
"""A file's size, times of its last modification and of its last change in nanoseconds, and inode."""

Kept = tuple[Stamp, str, Record]
"""What is kept of a file: its stamp, the ``config`` of its job, which takes long to compute, and its record."""

_KEPT = TypeAdapter(dict[str, Kept])


class Index:
    """What is known of the records of one folder, by the paths of their files below it."""

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
        """Return the record of a file, without its curve, if the file is known to be as it was when it was read."""
        known = self._kept.get(name)
        if known is None or known[0] != stamp or not _is_older(stamp, self._time):
            return None
        self._noted[name] = known
        _, config, record = known
        vars(record.job)["config"] = config  # where the job itself would keep it
        return record

    def note(self, name: str, stamp: Stamp, record: Record) -> None:
        """Take note of a file's record, without its curve.

        Args:
            name: the file's path below the folder.
            stamp: its stamp from before it was read, or from after it was written.
            record: what it holds.
        """
        self._noted[name] = stamp, record.job.config, record

    def forget(self, name: str) -> None:
        """Take note that a file was removed."""
        self._noted.pop(name, None)

    def save(self) -> None:
        """Write what was noted or asked for, unless it stands already; a folder that cannot be written has no index."""
        if len(self._noted) == len(self._kept) and all(self._kept.get(n) is kept for n, kept in self._noted.items()):
            return
        body = _KEPT.dump_json(dict(sorted(self._noted.items())))
        with suppress(OSError):
            replace(self.path, _digest(body) + b"\n" + body, durable=False)


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_older(stamp: Stamp, time: int) -> bool:
    """Return whether a file whose index was written at ``time`` would look otherwise had it changed since."""
    latest = max(stamp[1], stamp[2])
    return latest + (FINE_NS if latest % 1_000_000_000 else COARSE_NS) < time


def _digest(body: bytes) -> bytes:
    return sha256(FORMAT + body).hexdigest().encode()
