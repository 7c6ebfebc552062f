"""Bring the records and leaderboards of a folder up to date, one process at a time."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.locking import hold
from asrnn_bench.files.reading import many_objects
from asrnn_bench.files.writing import holds, replace
from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import Board, boards
from asrnn_bench.results.leaderboard import csv_of
from asrnn_bench.results.markdown import board_markdown
from asrnn_bench.results.store import Source, add_records

TIMEOUT_SECONDS = 60.0


class BusyError(UsageError):
    """Another process has held the leaderboards folder for longer than the timeout."""


@dataclass(frozen=True)
class Published:
    """The contents of a leaderboards folder: its records without their curves, its faults and its leaderboards."""

    records: list[Record]
    faults: list[str]
    boards: list[Board]


def bring_up_to_date(leaderboards: Path, new: Iterable[Record] | Source, *, again: str | None = None) -> Published:
    """Add records to a leaderboards folder, and write its leaderboards.

    Args:
        leaderboards: the folder.
        new: the records, or a function that is given the records of the folder and yields new ones. They are read
            while the folder is locked, a few at a time.
        again: the command that does the same later, for the message of ``BusyError``.

    Raises:
        BusyError: another process has held the folder for a minute; the message says how to go on.
        OSError: the file system fails with an error that passes by itself.
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


def write_leaderboards(leaderboards: Path, records: Iterable[Record]) -> list[Board]:
    """Write the CSV and the Markdown of every leaderboard of ``records``, and return the leaderboards.

    A file that already holds the right text is not written again.

    Raises:
        OSError: the file system fails with an error that passes by itself.
        UsageError: the folder cannot be written.
    """
    found = boards(records)
    try:
        leaderboards.mkdir(parents=True, exist_ok=True)
        for path, text in board_files(leaderboards, found).items():
            if not holds(path, text):
                replace(path, text)
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error
    return found


def board_files(leaderboards: Path, found: Iterable[Board]) -> dict[Path, str]:
    """Return the text of the CSV and of the Markdown of each leaderboard, by path."""
    files: dict[Path, str] = {}
    for board in found:
        files[leaderboards / f"{board.name}.csv"] = csv_of(board.rows)
        files[leaderboards / f"{board.name}.md"] = board_markdown(board)
    return files


def update_command(directory: Path, leaderboards: Path) -> str:
    """Return the command that adds the records of a folder to the leaderboards."""
    return shlex.join(["asrnn-bench", "leaderboard", str(directory), "--leaderboards", str(leaderboards)])
