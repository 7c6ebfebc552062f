"""``asrnn-bench leaderboard DIR``: records to CSV and Markdown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench.atomic import holds
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.paths import expanded
from asrnn_bench.plain_text import plain
from asrnn_bench.records import Record
from asrnn_bench.results.publishing import bring_up_to_date
from asrnn_bench.results.store import Source, merge, read_records, standing_results, without_curve
from asrnn_bench.results.tables import leaderboard_files, terminal_table
from asrnn_bench.runner import make_writable, record_of
from asrnn_bench.running.job_directory import JobDirectory


@app.command()
def leaderboard(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", parser=expanded, help="A run's --output folder, or a leaderboards folder."),
    ],
    leaderboards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=expanded, help="The folder that is written; else DIR where it has records."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if what stands is different.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a file is not a record.")] = False,
) -> int:
    """Make the leaderboards of the records in a folder."""
    own = (directory / "records").is_dir()
    target = leaderboards or (directory if own else Path("leaderboards"))
    found: list[str] = []  # what is amiss where the records come from
    source = _source(directory, target, found, read_all=strict)
    if check:
        standing, faults = read_records(target, with_curves=False)
        records = merge(standing, map(without_curve, source(standing_results(standing))))
    else:
        make_writable(target, "--leaderboards")
        records, faults = bring_up_to_date(target, source)
    if not records and not found + faults:
        raise _nothing(directory)
    console = open_console()
    for fault in found + faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    spoiled = 1 if strict and found + faults else 0
    if check:
        return _compare(directory, target, records, console) or spoiled
    for name in dict.fromkeys(f"{record.job.suite}.{record.job.budget}" for record in records):
        console.print(terminal_table([r for r in records if f"{r.job.suite}.{r.job.budget}" == name]))
        console.print(f"written: {target / name}.csv", soft_wrap=True)
    return spoiled


def _source(directory: Path, target: Path, faults: list[str], *, read_all: bool) -> Source:
    """Return what yields the records of a folder, and notes what is amiss there.

    Args:
        directory: a run's folder, or a leaderboards folder.
        target: the leaderboards folder that they are for; what stands there already is not read again.
        faults: where to note it.
        read_all: whether results are read too that stand already, to see whether they are damaged.

    Raises:
        UsageError: there are neither records nor jobs.
    """
    if (directory / "records").is_dir():
        if directory.resolve() == target.resolve():
            return lambda standing: ()
        records, amiss = read_records(directory)
        faults += amiss
        jobs = []
    else:
        records = []
        jobs = list(JobDirectory.below(directory))
    if not records and not faults and not jobs:
        raise _nothing(directory)

    def read(standing: frozenset[str]) -> Iterator[Record]:
        yield from records
        for job in jobs:
            if read_all or job.short_key not in standing:
                yield from _record_of(job, faults)

    return read


def _nothing(directory: Path) -> UsageError:
    return UsageError(f"there are no records below {directory}; name a run's --output folder or a leaderboards folder")


def _record_of(job: JobDirectory, faults: list[str]) -> Iterator[Record]:
    try:
        record = job.result() or record_of(job)  # of a damaged result there is no row here, but a warning
    except UsageError as error:
        faults.append(str(error))
    else:
        if record is not None and record.job.tested:
            yield record


def _compare(directory: Path, target: Path, records: list[Record], console: Console) -> int:
    """Say which leaderboard files differ from what the records give, and return the exit status."""
    different = 0
    for path, text in leaderboard_files(target, records).items():
        if not holds(path, text):
            what = "is not what the records give" if path.exists() else "is missing"
            command = f"asrnn-bench leaderboard {directory} --leaderboards {target}"
            console.print(f"{path} {what}; run: {command}", soft_wrap=True)
            different = 1
    if not different:
        console.print("every leaderboard is what its records give")
    return different
