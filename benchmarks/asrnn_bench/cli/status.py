"""Define ``asrnn-bench status``, which shows the state of a run from any shell."""

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.flags import Folder
from asrnn_bench.files.plain_text import plain
from asrnn_bench.watching.disk_use import disk_use
from asrnn_bench.watching.display import OTHERS_SECONDS, SHOW_SHARE, render
from asrnn_bench.watching.estimates import TimeToGo, seconds_to_go
from asrnn_bench.watching.observer import JobView, Observer, count_states
from asrnn_bench.watching.repeated_attempts import repeated_attempts
from asrnn_bench.watching.words import ended_line, size

FOLLOW_SECONDS = 1.0

MOST_LINES = 20
"""The most lines of one kind on a terminal. A file or a pipe gets all lines."""


@app.command()
def status(
    directory: Folder,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep the table up to date until no job runs.")
    ] = False,
) -> int:
    """Show the state of the jobs below a folder, their disk space, and which were tried again."""
    observer, faults = Observer.below(directory)
    if not observer.jobs and not faults:
        raise UsageError(f"there are no jobs below {directory}; name the --output folder of a run")
    console = open_console()
    if follow and console.is_terminal:
        _follow(observer, console)
    views = observer.views
    groups: dict[str, list[JobView]] = {}
    for view in views:
        groups.setdefault(f"{view.job.suite} (version {view.job.suite_version}), budget {view.job.budget}", []).append(
            view
        )
    for name, group in groups.items():
        console.print(name)
        console.print(render(group, _to_go(group), console, is_live=False))
    used = disk_use(directory)
    console.print(f"disk: {size(used.total)}, of which checkpoints {size(used.checkpoints)}")
    _print_repeated(observer, views, directory, console)
    for fault in faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    lost = [view for view in views if view.state in ("failed", "diverged")]
    _print_lines([ended_line(view) for view in lost], "failed or diverged", directory, console)
    return 0


def _follow(observer: Observer, console: Console) -> None:
    """Keep the display up to date until no job runs, with a small share of a core."""
    views, took = observer.views, 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        steady = TimeToGo(time.monotonic)
        while count_states(views)["running"]:
            live.update(render(views, steady.update(_to_go(views)), console), refresh=True)
            time.sleep(max(FOLLOW_SECONDS, took / SHOW_SHARE))
            start = time.monotonic()
            views = observer.look(OTHERS_SECONDS)
            took = time.monotonic() - start


def _to_go(views: list[JobView]) -> float | None:
    """Estimate the time to go, if as many jobs run at a time as run now."""
    return seconds_to_go(views, max(1, count_states(views)["running"]))


def _print_repeated(observer: Observer, views: list[JobView], directory: Path, console: Console) -> None:
    """Print how many attempts were lost and why, and the jobs that needed the most attempts."""
    found = sorted(repeated_attempts(observer, views), key=lambda tries: -tries.attempts)
    if not found:
        return
    kinds = Counter(kind for tries in found for kind in tries.why)
    reasons = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    console.print(f"{len(found)} jobs took more than one attempt; lost attempts: {reasons or 'none'}", soft_wrap=True)
    _print_lines([tries.line for tries in found], "of them", directory, console)


def _print_lines(lines: Sequence[str] | Sequence[Text], what: str, directory: Path, console: Console) -> None:
    shown = lines[:MOST_LINES] if console.is_terminal else lines
    if shown:
        console.print(_joined(shown), soft_wrap=True)
    if len(shown) < len(lines):
        console.print(
            f"and {len(lines) - len(shown)} more {what}; all: asrnn-bench status {shlex.quote(str(directory))} | cat"
        )


def _joined(lines: Sequence[str] | Sequence[Text]) -> Text:
    """Return lines as one text. Thousands of plain strings are joined far faster than styled texts."""
    words = [line for line in lines if isinstance(line, str)]
    return Text("\n".join(words)) if words else Text("\n").join(line for line in lines if isinstance(line, Text))
