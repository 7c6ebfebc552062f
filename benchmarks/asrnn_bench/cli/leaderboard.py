"""Define ``asrnn-bench leaderboard``, which makes leaderboards from the records in a folder."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.files.folders import make_writable
from asrnn_bench.files.paths import expanded
from asrnn_bench.files.plain_text import plain
from asrnn_bench.job_records import how_it_was_lost, stored
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results.boards import Board, boards
from asrnn_bench.results.comparison import difference
from asrnn_bench.results.merging import merge
from asrnn_bench.results.publishing import Published, board_files, bring_up_to_date, update_command
from asrnn_bench.results.record_files import read_records, without_curve
from asrnn_bench.results.store import Source, StoredRecord, by_short_key
from asrnn_bench.results.terminal import board_table


@app.command()
def leaderboard(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", parser=expanded, help="A run's --output folder, or a leaderboards folder."),
    ],
    leaderboards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=expanded, help="The folder to write to; by default DIR if it has records."),
    ] = None,
    suite_version: Annotated[
        int | None, typer.Option(metavar="N", help="Show this version of the suites; by default the newest of each.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a file is not a record.")] = False,
) -> int:
    """Make the leaderboards of the records in a folder."""
    if check and suite_version is not None:
        raise UsageError("--check compares the leaderboards of all versions; leave out --suite-version")
    own = (directory / "records").is_dir()
    target = leaderboards or (directory if own else Path("leaderboards"))
    found: list[str] = []  # the faults in the folder that records are read from
    source = _source(directory, target, found, read_all=strict)
    again = update_command(directory, target)
    if check:
        standing, faults = wait_out(partial(read_records, target, with_curves=False))
        new = (without_curve(each.record) for each in source(by_short_key(standing)))
        shown = boards(merge(standing, new))
    else:
        make_writable(target, "--leaderboards")
        before = len(found)

        def publish() -> Published:
            del found[before:]  # the faults that an earlier try found
            return bring_up_to_date(target, source, again=again)

        published = wait_out(publish)
        shown, faults = published.boards, published.faults
    if not shown and not found + faults:
        raise _nothing(directory)
    console = open_console()
    for fault in found + faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    spoiled = 1 if strict and found + faults else 0
    if check:
        return _compare(target, shown, again, console) or spoiled
    for board in _chosen(shown, suite_version):
        console.print(board_table(board, console.width), crop=False)
        console.print(f"written: {target / board.name}.csv", soft_wrap=True)
        if board.others:
            console.print(_other_versions(board, directory, leaderboards), soft_wrap=True)
    return spoiled


def _chosen(shown: list[Board], version: int | None) -> list[Board]:
    """Return the leaderboards to show: those of a version, or the newest of each suite and budget.

    Raises:
        UsageError: no suite has records of that version.
    """
    found = [board for board in shown if (board.is_newest if version is None else board.version == version)]
    if shown and not found:
        known = ", ".join(map(str, sorted({board.version for board in shown})))
        raise UsageError(f"there are no records of --suite-version {version}; there are: {known}")
    return found


def _other_versions(board: Board, directory: Path, leaderboards: Path | None) -> str:
    others = ", ".join(map(str, board.others))
    flags = [] if leaderboards is None else ["--leaderboards", str(leaderboards)]
    words = ["asrnn-bench", "leaderboard", str(directory), *flags, "--suite-version", str(board.others[-1])]
    many = "versions" if len(board.others) > 1 else "version"
    return f"{board.suite} has records of {many} {others} too; to see one: {shlex.join(words)}"


def _source(directory: Path, target: Path, faults: list[str], *, read_all: bool) -> Source:
    """Return a function that yields the records of a folder that the leaderboards do not have yet.

    Args:
        directory: the output folder of a run, or a leaderboards folder.
        target: the leaderboards folder to which the records are added.
        faults: a list to which the function appends a line for each file that cannot be read.
        read_all: whether to read also the results that the leaderboards have, to find damaged ones.

    Raises:
        UsageError: the folder has neither records nor jobs.
    """
    found: Iterable[StoredRecord] = []
    jobs: list[JobDirectory] = []
    if (directory / "records").is_dir():
        if directory.resolve() == target.resolve():
            return lambda standing: ()
        records, damaged = wait_out(partial(read_records, directory))
        found = [StoredRecord(record) for record in records]
        faults += damaged
    else:
        jobs = list(JobDirectory.below(directory))
    if not found and not faults and not jobs:
        raise _nothing(directory)

    def read(standing: Mapping[str, Record]) -> Iterator[StoredRecord]:
        yield from found
        for job in jobs:
            known = standing.get(job.short_key)
            if read_all or known is None or not known.is_whole:
                yield from _found_in(job, known, faults)

    return read


def _nothing(directory: Path) -> UsageError:
    return UsageError(f"there are no records below {directory}; name a run's --output folder or a leaderboards folder")


def _found_in(directory: JobDirectory, known: Record | None, faults: list[str]) -> Iterator[StoredRecord]:
    """Yield the record of a job that has ended, unless ``known`` says the same."""
    try:
        record = directory.result()
        if record is None:
            lost = how_it_was_lost(directory)
            if lost is None or (known is not None and (known.status, known.reason) == lost):
                return
            record = without_result(directory.job(), *lost)
    except UsageError as error:  # a damaged result has no row, but a warning
        faults.append(str(error))
    except OSError as error:  # the next try may read it
        faults.append(f"{directory.path} is left out: it cannot be read: {error.strerror}; run the same command again")
    else:
        if record.job.tested:
            yield stored(directory, record)


def _compare(target: Path, shown: list[Board], again: str, console: Console) -> int:
    """Print how leaderboard files differ from what the records give, and return the exit status."""
    different = 0
    for path, text in board_files(target, shown).items():
        how = difference(path, text)
        if how is not None:
            console.print(f"{path} {how}; run: {again}", soft_wrap=True)
            different = 1
    if not different:
        console.print("every leaderboard is what its records give")
    return different
