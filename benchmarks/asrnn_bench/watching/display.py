"""Show a run while it goes on: a live table on a terminal, a few lines a minute elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from asrnn_bench.watching.estimates import START_SECONDS, TimeToGo, seconds_around, seconds_to_go
from asrnn_bench.watching.observer import JobView, Observer, count_states
from asrnn_bench.watching.tables import grids, running_table
from asrnn_bench.watching.words import ended_lines, summary

SHOW_INTERVAL_SECONDS = 0.5
REPORT_INTERVAL_SECONDS = 60.0
"""The time between two reports where there is no terminal, so that the log of a run of days stays short."""

SHOW_SHARE = 0.05
"""The largest share of this process's time for reading directories and drawing, as the jobs need the cores."""

SUMMARY_LINES, FEW = 3, 5
"""The lines kept for the summary, and for running jobs where a terminal is too low for all of them."""

OTHERS_SECONDS = 0.01
"""The time of one look for the jobs that neither run nor are next in line."""

STARTS_KEPT = 20
"""The number of recent jobs from which the time that a job takes beside its training is estimated."""


class Display:
    """Shows the jobs of an observer until it is closed.

    Args:
        observer: reads the job directories.
        console: where to show them. Without a terminal, the jobs that ended and a summary are printed once a minute.
        slots: how many jobs run at a time, for the time to go; by default the number of running jobs.
        clock: returns monotonic seconds; tests pass another one.
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
        """Show the jobs until the block ends."""
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
        """Show the present state, at most twice a second, and less often where that takes long.

        Args:
            stopping: what a run that was asked to stop waits for; it is shown at once.
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
    """Return the tables of tasks and models, a line for each running job, and a summary.

    Args:
        views: the jobs.
        to_go: the estimated seconds until all jobs have ended; ``None`` where there is no estimate.
        console: where it is shown. A live display fits its height.
        is_live: whether a runner is known to be at work.
        stopping: what a run that was asked to stop waits for.
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
