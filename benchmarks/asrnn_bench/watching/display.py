"""Show a run while it goes on: one live table on a terminal, a few lines a minute elsewhere."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asrnn_bench.records.job import Job
from asrnn_bench.watching.estimates import START_SECONDS, JobKind, Pace, job_seconds, seconds_around, seconds_to_go
from asrnn_bench.watching.observer import JobView, Observer, count_states
from asrnn_bench.watching.tables import grids, running_table
from asrnn_bench.watching.words import duration, ended_lines, ranges, summary

SHOW_INTERVAL_SECONDS = 0.5
REPORT_INTERVAL_SECONDS = 60.0
"""Between two reports where there is no terminal: a log of days stays short."""

SHOW_SHARE = 0.05
"""The most of this process's time that goes into reading directories and drawing: the jobs need the cores."""

SUMMARY_LINES, FEW = 3, 5
"""Lines that a live picture keeps for its sum, and for running jobs where a terminal is too low for all of it."""

OTHERS_SECONDS = 0.01
"""Of one look, for the jobs that neither run nor are next in line."""

STEADY_SECONDS = 120.0
"""How slowly the time to go that is shown follows a new estimate; meanwhile it counts down."""

WIDE = 120
"""Columns from which on the plan shows where settings come from beside each model."""

STARTS_KEPT = 20
"""How many of the last jobs say what a job takes beside its training."""


class TimeToGo:
    """Keeps the time to go from jumping: it counts down, and drifts to each new estimate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._at = clock, clock()
        self._shown: float | None = None

    def update(self, estimate: float | None) -> float | None:
        """Return what to show after a new estimate; ``None`` while there was none."""
        passed, self._at = self._clock() - self._at, self._clock()
        if estimate is None or self._shown is None:
            self._shown = estimate
        else:
            drifted = 1.0 - math.exp(-passed / STEADY_SECONDS)
            expected = max(0.0, self._shown - passed)
            self._shown = expected + drifted * (estimate - expected)
        return self._shown


class Display:
    """Shows the jobs of an observer until it is closed.

    Args:
        observer: reads the job directories.
        console: where to show them; without a terminal, what ended is printed once a minute with the sum of it.
        slots: how many jobs run at a time, for the time to go; by default as many as are seen to run.
        clock: seconds that only grow; another one in tests.
    """

    def __init__(
        self, observer: Observer, console: Console, slots: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.observer, self.console, self.slots, self.clock = observer, console, slots, clock
        self._live: Live | None = None
        self._ended: set[int] = set()
        self._unsaid: list[JobView] = []  # ended since the last report
        self._starts: deque[float] = deque(maxlen=STARTS_KEPT)
        self._to_go = TimeToGo(clock)
        self._stopping = self._said = ""
        self._next_show = self._next_report = 0.0

    @contextmanager
    def open(self) -> Iterator["Display"]:
        """Show the jobs for as long as the block lasts."""
        for index, view in enumerate(self.observer.look()):
            if view.state not in ("waiting", "running"):
                self._ended.add(index)
                if len(self._starts) < STARTS_KEPT:
                    self._note_start(index, view)
        if not self.console.is_terminal:
            yield self
            self._next_report = 0.0
            self._show(self.observer.look(), is_last=True)
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield self
            self._show(self.observer.look())

    def refresh(self, stopping: str = "") -> None:
        """Show the present state, at most once in half a second, and less often where that takes long.

        Args:
            stopping: what the run waits for before it ends, once it was asked to; said at once.
        """
        if stopping and not self._stopping:
            self._next_show = self._next_report = 0.0
        self._stopping = stopping
        start = self.clock()
        if start >= self._next_show:
            self._show(self.observer.look(OTHERS_SECONDS))
            end = self.clock()
            self._next_show = max(start + SHOW_INTERVAL_SECONDS, end + (end - start) * (1 / SHOW_SHARE - 1))

    def _show(self, views: list[JobView], *, is_last: bool = False) -> None:
        for index, view in enumerate(views):
            if view.state in ("waiting", "running"):
                self._ended.discard(index)
            elif index not in self._ended:
                self._ended.add(index)
                self._unsaid.append(view)
                self._note_start(index, view)
        to_go = self._to_go.update(self._estimate(views))
        if self._live is not None:
            self._say_ended()
            self._live.update(render(views, to_go, self.console, stopping=self._stopping), refresh=True)
        elif self.clock() >= self._next_report:
            self._next_report = self.clock() + REPORT_INTERVAL_SECONDS
            line = summary(views, to_go, stopping=self._stopping)
            if self._unsaid or line != self._said or not is_last:
                self._say_ended()
                self.console.print(line, highlight=False, soft_wrap=True)
                self._said = line

    def _say_ended(self) -> None:
        for line in ended_lines(self._unsaid):
            self.console.print(line, highlight=False, soft_wrap=True)
        self._unsaid = []

    def _note_start(self, index: int, view: JobView) -> None:
        if view.train_seconds is not None and view.job.model.hidden_size is not None:
            around = seconds_around(self.observer.directories[index], view.attempt, view.train_seconds)
            self._starts += [] if around is None else [around]

    def _estimate(self, views: list[JobView]) -> float | None:
        slots = self.slots or max(1, count_states(views)["running"])
        return seconds_to_go(views, slots, median(self._starts) if self._starts else START_SECONDS)


def render(
    views: list[JobView], to_go: float | None, console: Console, *, is_live: bool = True, stopping: str = ""
) -> RenderableType:
    """Return the picture: tables of tasks and models, what each running job does, and the sum of it.

    Args:
        views: the jobs.
        to_go: the estimated seconds until all have ended, where there is an estimate.
        console: where it is shown; a live picture fits it, another one may be higher.
        is_live: whether a runner is known to be at work.
        stopping: what the run waits for before it ends.
    """
    running = [view for view in views if view.state == "running"]
    room = max(8, console.height - SUMMARY_LINES) if is_live else None
    tables = grids(views, console.width, room and max(4, room - min(len(running), FEW) - 2))
    left = FEW * 4 if room is None else room - sum(table.row_count + 1 for table in tables)
    parts: list[RenderableType] = [*tables]
    if running:
        rows = len(running) if len(running) < left or not console.is_terminal else max(1, left - 2)
        parts.append(running_table(running, console.width, rows))
        parts += [Text(f"and {len(running) - rows} more run")] if rows < len(running) else []
    return Group(*parts, Text(summary(views, to_go, is_live=is_live, stopping=stopping)))


def dry_run_table(
    jobs: Sequence[Job], done: Sequence[bool], paces: dict[JobKind, Pace], images: set[str], width: int
) -> RenderableType:
    """Return the plan as a table: a row for each task and model, with its seeds or trials and the time of one job.

    Args:
        jobs: the plan.
        done: whether each of them has its result.
        paces: what is known of how fast they are.
        images: the image sets that are on this machine.
        width: the letters of a line; where they are few, a task has a line of its own, and the settings a table.
    """
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False)
    for name in ("task", "model") if wide else ("task, model",):
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in ("units", "steps", "seeds", "done", "time a job"):
        table.add_column(name, justify="right", no_wrap=name != "seeds", overflow="fold", min_width=len(name))
    if wide:
        table.add_column("settings", overflow="fold", min_width=8)
    origins: dict[str, dict[str, list[str]]] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, job in enumerate(jobs):
        together = (job.config,) if job.tested else (job.task.name, job.model.name)
        groups.setdefault(together, []).append(index)
    task = ""
    for group in groups.values():
        job = jobs[group[0]]
        if job.task.name != task:
            task = job.task.name
            if not wide:
                table.add_row(Text(task, style="bold"))
        seconds = job_seconds(job, paces)
        settings = "" if job.model.name == "chance" else job.settings if job.tested else f"{len(group)} trials"
        if settings and job.tested:
            origins.setdefault(settings, {}).setdefault(task, []).append(job.model.name)
        table.add_row(
            *([task, job.model.name] if wide else [f"  {job.model.name}"]),
            str(job.model.hidden_size or ""),
            str(job.training.steps),
            ranges(sorted({jobs[index].seed for index in group})),
            str(sum(done[index] for index in group)),
            "no data" if job.task.images not in images else "unknown" if seconds is None else duration(seconds),
            *([settings] if wide else []),
        )
    return Group(table, "", _settings_table(origins)) if origins and not wide else table


def _settings_table(origins: dict[str, dict[str, list[str]]]) -> Table:
    """Return where settings come from, and of which models on which tasks they are."""
    table = Table(box=None, pad_edge=False)
    table.add_column("settings", overflow="fold", max_width=38)
    table.add_column("of", overflow="fold")
    for settings, tasks in origins.items():
        table.add_row(settings, "; ".join(f"{task}: {', '.join(models)}" for task, models in tasks.items()))
    return table
