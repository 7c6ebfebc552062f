"""Bringing a leaderboards folder up to date: one process at a time."""

from collections.abc import Iterable
from pathlib import Path

from filelock import Timeout

from asrnn.errors import UsageError
from asrnn_bench.locking import hold
from asrnn_bench.reading import many_objects
from asrnn_bench.records import Record
from asrnn_bench.results.store import Source, add_records
from asrnn_bench.results.tables import write_leaderboards

TIMEOUT_SECONDS = 60.0


def bring_up_to_date(leaderboards: Path, new: Iterable[Record] | Source) -> tuple[list[Record], list[str]]:
    """Add records to those that stand, and write the leaderboards.

    Args:
        leaderboards: the folder.
        new: the records, or what yields them when it is told which results stand; a few at a time are in memory, and
            they are taken while the folder is held.

    Returns:
        all records that stand then, without their curves, and a line for each file that is no record.

    Raises:
        UsageError: the folder cannot be written, or another process holds it for longer than a minute.
    """
    try:
        with hold(leaderboards, TIMEOUT_SECONDS), many_objects():
            standing, faults = add_records(leaderboards, new)
            write_leaderboards(leaderboards, standing)
    except Timeout as error:
        raise UsageError(f"another process holds {leaderboards}; end it, then: asrnn-bench leaderboard") from error
    return standing, faults
