"""What a person sees while jobs run: one live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asrnn_bench.records import Job
from asrnn_bench.running.job_directory import JobDirectory, State
from asrnn_bench.running.snapshot import JobView, Kind, Observer, count_states, job_seconds, seconds_to_go

COLOURS: dict[State, str] = {"done": "green", "diverged": "magenta", "failed": "red", "no-data": "yellow"}
LOOK_INTERVAL_SECONDS = 0.5
SUMMARY_INTERVAL_SECONDS = 30.0


class Display:
    """Shows the jobs of an observer until it is closed.

    Args:
        observer: reads the job directories.
        console: where to show them; without a terminal, one line is printed for each job that ends.
        slots: how many jobs run at a time, for the time to go.
    """

    def __init__(self, observer: Observer, console: Console, slots: int) -> None:
        self.observer, self.console, self.slots = observer, console, slots
        self._live: Live | None = None
        self._ended: set[str] = set()
        self._next_look = self._next_summary = 0.0

    @contextmanager
    def open(self) -> Iterator["Display"]:
        """Show the jobs for as long as the block lasts."""
        self._ended = {view.job.key for view in self.observer.look() if view.state not in ("waiting", "running")}
        if not self.console.is_terminal:
            yield self
            self._show()
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield self
            self._show()

    def refresh(self) -> None:
        """Show the present state, at most once in half a second."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_INTERVAL_SECONDS
            self._show()

    def _show(self) -> None:
        views = self.observer.look()
        for view in views:
            if view.state in ("waiting", "running"):
                self._ended.discard(view.job.key)
            elif view.job.key not in self._ended:
                self._ended.add(view.job.key)
                self.console.print(ended_line(view), highlight=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(render(views, self.slots), refresh=True)
        elif time.monotonic() >= self._next_summary:
            self._next_summary = time.monotonic() + SUMMARY_INTERVAL_SECONDS
            self.console.print(summary(views, self.slots), highlight=False, soft_wrap=True)


def ended_line(view: JobView) -> Text:
    """Return the one line that says how a job ended."""
    line = Text()
    line.append(f"{view.state:<9}", style=COLOURS.get(view.state, ""))
    line.append(view.job.label)
    if view.accuracy is not None:
        line.append(f": {'test' if view.job.tested else 'validation'} accuracy {view.accuracy:.1%}")
    if view.record is not None and view.record.cost is not None:
        line.append(f", {duration(view.record.cost.train_seconds)}")
    if view.reason:
        line.append(f": {view.reason}")
    return line


def summary(views: list[JobView], slots: int, *, is_live: bool = True) -> str:
    """Return the run in one line; ``is_live`` says whether a runner is known to be at work."""
    counts = count_states(views)
    parts = [f"{counts['done']} of {len(views)} jobs done"]
    parts += [f"{counts[s]} {s}" for s in ("running", "waiting", "diverged", "failed", "no-data") if counts[s]]
    left = seconds_to_go(views, slots)
    if counts["waiting"] and not counts["running"] and not is_live:
        parts.append("none of them runs; run the same command to go on")
    elif counts["running"] or counts["waiting"]:
        parts.append("time to go unknown yet" if left is None else f"about {duration(left)} to go")
    return ", ".join(parts)


def render(views: list[JobView], slots: int, *, is_live: bool = True) -> RenderableType:
    """Return the live picture: what each running job does, a table of tasks and models, and the sum of it."""
    parts: list[RenderableType] = [_grid(views)]
    running = [view for view in views if view.state == "running"]
    if running:
        parts.append(_running(running))
    return Group(*parts, Text(summary(views, slots, is_live=is_live)))


def _running(views: list[JobView]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("running", no_wrap=True)
    for name in ("step", "loss", "steps/s", "to go", "phase"):
        table.add_column(name, justify="left" if name == "phase" else "right", no_wrap=True)
    for view in views:
        now, speed = view.progress, view.progress.get("steps_per_second")
        left = (view.job.training.max_steps - int(now.get("step") or 0)) / speed if speed else None
        table.add_row(
            view.job.label,
            f"{now.get('step', 0)}/{view.job.training.max_steps}",
            f"{now['loss']:.3f}" if now.get("loss") is not None else "",
            f"{speed:.1f}" if speed else "",
            "" if left is None else duration(left),
            str(now.get("phase", "starting")),
        )
    return table


def _grid(views: list[JobView]) -> Table:
    """Models down, tasks across, as in the leaderboard; a cell holds the mean accuracy, or how far its jobs are."""
    tasks = list(dict.fromkeys(view.job.task.name for view in views))
    table = Table(box=None, pad_edge=False)
    table.add_column("accuracy", no_wrap=True)
    for task in tasks:
        table.add_column(task, justify="right")
    for model in dict.fromkeys(view.job.model.name for view in views):
        cells = [[v for v in views if v.job.task.name == task and v.job.model.name == model] for task in tasks]
        table.add_row(model, *map(_cell, cells))
    return table


def _cell(views: list[JobView]) -> Text:
    scores = [view.accuracy for view in views if view.accuracy is not None]
    counts = count_states(views)
    for state in ("failed", "diverged", "no-data"):
        if counts[state]:
            return Text(state, style=COLOURS[state])
    if scores and len(scores) == len(views):
        return Text(f"{sum(scores) / len(scores):.1%}", style="green")
    if len(views) > 1 and (scores or counts["running"]):
        return Text(f"{len(scores)} of {len(views)} done", style="cyan")
    return Text(f"at {views[0].fraction:.0%}", style="cyan") if counts["running"] else Text("·", style="dim")


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
            ",".join(str(other.seed) for other in group),
            str(sum(JobDirectory.of(output, other).is_done() for other in group)),
            "no data" if job.task.images not in images else "unknown" if seconds is None else duration(seconds),
            "" if job.model.name == "chance" else job.settings,
        )
    return table


def duration(seconds: float) -> str:
    """Return a time in words of a few letters: ``42 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
