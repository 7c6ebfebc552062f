"""What a person sees while jobs run: one live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asrnn_bench.records import Job
from asrnn_bench.running.grid import grids, running_table
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.snapshot import JobView, Kind, Observer, job_seconds
from asrnn_bench.running.words import duration, ended_line, ranges, summary

SHOW_INTERVAL_SECONDS = 0.5
SUMMARY_INTERVAL_SECONDS = 30.0

SHOW_SHARE = 0.05
"""The most of this process's time that goes into reading directories and drawing: the jobs need the cores."""

SUMMARY_LINES, FEW = 3, 5
"""Lines that a live picture keeps for its sum, and for running jobs where a terminal is too low for all of it."""

OTHERS_SECONDS = 0.01
"""Of one look, for the jobs that neither run nor are next in line."""


class Display:
    """Shows the jobs of an observer until it is closed.

    Args:
        observer: reads the job directories.
        console: where to show them; without a terminal, one line is printed for each job that ends.
        slots: how many jobs run at a time, for the time to go.
        clock: seconds that only grow; another one in tests.
    """

    def __init__(
        self, observer: Observer, console: Console, slots: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.observer, self.console, self.slots, self.clock = observer, console, slots, clock
        self._live: Live | None = None
        self._ended: set[int] = set()
        self._next_show = self._next_summary = 0.0

    @contextmanager
    def open(self) -> Iterator["Display"]:
        """Show the jobs for as long as the block lasts."""
        views = self.observer.look()
        self._ended = {index for index, view in enumerate(views) if view.state not in ("waiting", "running")}
        if not self.console.is_terminal:
            yield self
            self._show(self.observer.look())
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield self
            self._show(self.observer.look())

    def refresh(self) -> None:
        """Show the present state, at most once in half a second, and less often where that takes long."""
        start = self.clock()
        if start >= self._next_show:
            self._show(self.observer.look(OTHERS_SECONDS))
            end = self.clock()
            self._next_show = max(start + SHOW_INTERVAL_SECONDS, end + (end - start) * (1 / SHOW_SHARE - 1))

    def _show(self, views: list[JobView]) -> None:
        for index, view in enumerate(views):
            if view.state in ("waiting", "running"):
                self._ended.discard(index)
            elif index not in self._ended:
                self._ended.add(index)
                self.console.print(ended_line(view), highlight=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(render(views, self.slots, self.console), refresh=True)
        elif self.clock() >= self._next_summary:
            self._next_summary = self.clock() + SUMMARY_INTERVAL_SECONDS
            self.console.print(summary(views, self.slots), highlight=False, soft_wrap=True)


def render(views: list[JobView], slots: int, console: Console, *, is_live: bool = True) -> RenderableType:
    """Return the picture: tables of tasks and models, what each running job does, and the sum of it.

    Args:
        views: the jobs.
        slots: how many run at a time.
        console: where it is shown; a live picture fits it, another one may be higher.
        is_live: whether a runner is known to be at work.
    """
    running = [view for view in views if view.state == "running"]
    room = max(8, console.height - SUMMARY_LINES) if is_live else None
    tables = grids(views, console.width, room and max(4, room - min(len(running), FEW) - 2))
    left = FEW * 4 if room is None else room - sum(table.row_count + 1 for table in tables)
    parts: list[RenderableType] = [*tables]
    if running:
        rows = len(running) if len(running) < left or not console.is_terminal else max(1, left - 2)
        parts.append(running_table(running, rows))
        parts += [Text(f"and {len(running) - rows} more run")] if rows < len(running) else []
    return Group(*parts, Text(summary(views, slots, is_live=is_live)))


def dry_run_table(jobs: list[Job], output: Path, speeds: dict[Kind, float], images: set[str]) -> Table:
    """Return the plan as a table: a row for each task and model, with its seeds and the time of one job.

    Args:
        jobs: the plan.
        output: where their directories are.
        speeds: what is known of how fast they are.
        images: the image sets that are on this machine.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("task", "model", "units", "steps", "seeds", "done", "time a job", "settings"):
        table.add_column(name, justify="left" if name in ("task", "model", "settings") else "right", no_wrap=True)
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.config, []).append(job)
    for group in groups.values():
        job = group[0]
        seconds = job_seconds(job, speeds)
        table.add_row(
            job.task.name,
            job.model.name,
            str(job.model.hidden_size or ""),
            str(job.training.max_steps),
            ranges([other.seed for other in group]),
            str(sum(JobDirectory.of(output, other).is_done() for other in group)),
            "no data" if job.task.images not in images else "unknown" if seconds is None else duration(seconds),
            "" if job.model.name == "chance" else job.settings,
        )
    return table
