"""``asrnn-bench leaderboard DIR``: records to CSV and Markdown."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.records import Record
from asrnn_bench.results.store import merge, read_records, write_records
from asrnn_bench.results.tables import leaderboard_files, terminal_table, write_leaderboards


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
    found, faults = read_records(directory)
    if not found and not faults:
        raise UsageError(
            f"there are no records below {directory}; name a run's --output folder or a leaderboards folder"
        )
    standing: list[Record] = []
    if target.resolve() != directory.resolve():
        standing, more = read_records(target)
        faults += more
    records = merge(standing, found)
    console = Console(highlight=False)
    for fault in faults:
        console.print(f"warning: {fault}", soft_wrap=True)
    spoiled = 1 if strict and faults else 0
    if check:
        return _compare(target, records, console) or spoiled
    write_records(target, records)
    for path in write_leaderboards(target, records):
        name = path.stem
        console.print(terminal_table([r for r in records if f"{r.job.suite}.{r.job.budget}" == name]))
        console.print(f"written: {path}", soft_wrap=True)
    return spoiled


def _compare(target: Path, records: list[Record], console: Console) -> int:
    """Say which leaderboard files differ from what the records give, and return the exit status."""
    different = 0
    for path, text in leaderboard_files(target, records).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            console.print(f"{path} is not what the records give; run: asrnn-bench leaderboard {target}", soft_wrap=True)
            different = 1
    if not different:
        console.print("every leaderboard is what its records give")
    return different
