"""``asrnn-bench leaderboard DIR``: records to CSV and Markdown."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.records import Record
from asrnn_bench.results.store import merge, read_records
from asrnn_bench.results.tables import leaderboard_files, terminal_table
from asrnn_bench.runner import make_writable, publish, record_of
from asrnn_bench.running.snapshot import Observer


@app.command()
def leaderboard(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run's --output folder, or a leaderboards folder.")
    ],
    leaderboards: Annotated[
        Path | None, typer.Option(help="The folder that is written; by default DIR itself where it holds records.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if what stands is different.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a file is not a record.")] = False,
) -> int:
    """Make the leaderboards of the records in a folder."""
    own = (directory / "records").is_dir()
    target = leaderboards or (directory if own else Path("leaderboards"))
    found, faults = read_records(directory) if own else _of_run(directory)
    if not found and not faults:
        raise UsageError(
            f"there are no records below {directory}; name a run's --output folder or a leaderboards folder"
        )
    standing, more = read_records(target) if target.resolve() != directory.resolve() else (found, [])
    faults += more
    records = merge(standing, found)
    console = Console(highlight=False, markup=False)
    for fault in faults:
        console.print(f"warning: {fault}", soft_wrap=True)
    spoiled = 1 if strict and faults else 0
    if check:
        return _compare(directory, target, records, console) or spoiled
    make_writable(target, "--leaderboards")
    publish(target, found)
    for name in dict.fromkeys(f"{record.job.suite}.{record.job.budget}" for record in records):
        console.print(terminal_table([r for r in records if f"{r.job.suite}.{r.job.budget}" == name]))
        console.print(f"written: {target / name}.csv", soft_wrap=True)
    return spoiled


def _of_run(output: Path) -> tuple[list[Record], list[str]]:
    """Return the records of all jobs below a run's folder that have ended, and a line for each that cannot be read."""
    observer, faults = Observer.below(output)
    records = [record_of(directory, job) for directory, job in zip(observer.directories, observer.jobs, strict=True)]
    return [record for record in records if record is not None and record.job.tested], faults


def _compare(directory: Path, target: Path, records: list[Record], console: Console) -> int:
    """Say which leaderboard files differ from what the records give, and return the exit status."""
    different = 0
    for path, text in leaderboard_files(target, records).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            what = "is not what the records give" if path.exists() else "is missing"
            command = f"asrnn-bench leaderboard {directory} --leaderboards {target}"
            console.print(f"{path} {what}; run: {command}", soft_wrap=True)
            different = 1
    if not different:
        console.print("every leaderboard is what its records give")
    return different
