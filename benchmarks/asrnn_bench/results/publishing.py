"""Bring a leaderboards folder up to date, one process at a time."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from asrnn.errors import UsageError
from asrnn_bench.files.locking import hold
from asrnn_bench.files.reading import many_objects
from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import Board
from asrnn_bench.results.store import Source, add_records
from asrnn_bench.results.tables import write_leaderboards

TIMEOUT_SECONDS = 60.0


class BusyError(UsageError):
    """Another process holds the leaderboards folder for longer than anybody waits."""


@dataclass(frozen=True)
class Published:
    """What stands in a leaderboards folder: records without their curves, what is amiss, and the leaderboards."""

    records: list[Record]
    faults: list[str]
    boards: list[Board]


def bring_up_to_date(leaderboards: Path, new: Iterable[Record] | Source, *, again: str | None = None) -> Published:
    """Add records to those that stand, and write the leaderboards.

    Args:
        leaderboards: the folder.
        new: the records, or what yields them when it is told which stand; a few at a time are in memory, and they
            are taken while the folder is held.
        again: the command that does the same later.

    Raises:
        BusyError: another process holds the folder for longer than a minute; the message says how to go on.
        OSError: the file system fails in a way that passes.
        UsageError: the folder cannot be written.
    """
    try:
        with hold(leaderboards, TIMEOUT_SECONDS), many_objects():
            standing, faults = add_records(leaderboards, new)
            return Published(standing, faults, write_leaderboards(leaderboards, standing))
    except Timeout as error:
        raise BusyError(
            f"another process has held {leaderboards} for {TIMEOUT_SECONDS:.0f} s; when it has ended, run: "
            f"{again or update_command(leaderboards, leaderboards)}"
        ) from error


def update_command(directory: Path, leaderboards: Path) -> str:
    """Return the command that puts the records of a folder into the leaderboards."""
    return shlex.join(["asrnn-bench", "leaderboard", str(directory), "--leaderboards", str(leaderboards)])
