"""``asrnn-bench status DIR``: where a run stands, from any shell."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.running.display import ended_line, render
from asrnn_bench.running.snapshot import JobView, Observer, count_states


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The --output folder of a run.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep the table up to date until no job runs.")
    ] = False,
) -> int:
    """Show where the jobs below a folder stand."""
    observer, faults = Observer.below(directory)
    if not observer.jobs and not faults:
        raise UsageError(f"there are no jobs below {directory}; name the --output folder of a run")
    console = Console(highlight=False, markup=False)
    views = observer.look()
    slots = max(1, count_states(views)["running"])
    if follow and console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while count_states(views)["running"]:
                live.update(render(views, slots), refresh=True)
                time.sleep(1.0)
                views = observer.look()
    groups: dict[str, list[JobView]] = {}
    for view in views:
        groups.setdefault(f"{view.job.suite} (version {view.job.suite_version}), budget {view.job.budget}", []).append(
            view
        )
    for name, group in groups.items():
        console.print(name)
        console.print(render(group, slots, is_live=False))
    for fault in faults:
        console.print(f"warning: {fault}", soft_wrap=True)
    for view in views:
        if view.state in ("failed", "diverged"):
            console.print(ended_line(view), soft_wrap=True)
    return 0
