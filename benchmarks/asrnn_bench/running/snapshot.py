"""Where a run stands, read from its job directories alone, so that every shell sees the same."""

import math
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.reading import many_objects
from asrnn_bench.records import Job, Record
from asrnn_bench.running.job_directory import JobDirectory, State

START_SECONDS = 8.0
"""What a worker takes to import torch and Lightning and to read its data, measured on two cores of an AMD EPYC."""


NEXT_IN_LINE = 16
"""How many of the waiting jobs are always looked at: launchers start them in the order of the plan."""


@dataclass(frozen=True)
class JobView:
    """One job as an observer sees it: of its result no more than a table shows, as there may be many thousands."""

    job: Job
    state: State
    reason: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    accuracy: float | None = None
    """The test accuracy; for the trial of a search, the validation accuracy."""
    train_seconds: float | None = None
    attempt: int | None = None
    """The one that came to the result."""

    @classmethod
    def of(cls, record: Record, job: Job | None = None) -> "JobView":
        """Return the view of a job that has its result; the job may be given as its plan has it."""
        scores, cost = record.scores, record.cost
        accuracy = None if scores is None else scores.test_accuracy if record.job.tested else scores.val_accuracy
        seconds = None if cost is None else cost.train_seconds
        return cls(job or record.job, record.status, record.reason, {}, accuracy, seconds, record.attempt)

    @property
    def is_final(self) -> bool:
        """Whether the job has its result, which nothing replaces."""
        return self.state in ("done", "diverged")

    @property
    def fraction(self) -> float:
        """How much of its training is behind it, in [0, 1]."""
        return min(1.0, float(self.progress.get("step") or 0) / self.job.training.max_steps)


class Observer:
    """Reads job directories again and again, each one with a result only once.

    Args:
        directories: where the jobs are.
        jobs: the jobs, in the same order.
    """

    def __init__(self, directories: list[JobDirectory], jobs: list[Job]) -> None:
        self.directories, self.jobs = directories, jobs
        self._views: list[JobView] = []
        self._turns: deque[int] = deque()

    @classmethod
    def below(cls, output: Path) -> tuple["Observer", list[str]]:
        """Return an observer of all jobs below a folder, and a line for each directory that cannot be read."""
        directories: list[JobDirectory] = []
        views: list[JobView] = []
        faults: list[str] = []
        with many_objects():
            for directory in JobDirectory.below(output):
                try:
                    views.append(_view_of(directory))
                    directories.append(directory)
                except UsageError as error:
                    faults.append(str(error))
        observer = cls(directories, [view.job for view in views])
        observer._start(views)
        return observer, faults

    @property
    def views(self) -> list[JobView]:
        """Every job's view as it was last seen, in the order of the directories."""
        return list(self._views)

    def look(self, seconds: float = math.inf) -> list[JobView]:
        """Return every job's view, in the order of the directories.

        The jobs that run and those that are next in line are looked at anew; of the others as many as there is time
        for, the next ones at the next call.

        Args:
            seconds: about how long the others may take.
        """
        if not self._views:
            pairs = zip(self.directories, self.jobs, strict=True)
            with many_objects():
                self._start([_view_of(directory, job) for directory, job in pairs])
            return self.views
        waiting = [index for index, view in enumerate(self._views) if view.state == "waiting"]
        running = [index for index, view in enumerate(self._views) if view.state == "running"]
        seen = {*running, *waiting[:NEXT_IN_LINE]}
        for index in seen:
            self._views[index] = self._look_again(index)
        until = time.monotonic() + seconds
        for _ in range(len(self._turns)):
            if time.monotonic() >= until:
                break
            index = self._turns.popleft()
            if index not in seen:
                self._views[index] = self._look_again(index)
            if not self._views[index].is_final:
                self._turns.append(index)
        return self.views

    def _start(self, views: list[JobView]) -> None:
        self._views = views
        self._turns = deque(index for index, view in enumerate(views) if not view.is_final)

    def _look_again(self, index: int) -> JobView:
        known = self._views[index]
        return known if known.is_final else _view_of(self.directories[index], known.job)


def _view_of(directory: JobDirectory, job: Job | None = None) -> JobView:
    """Look into a directory; a result is read first, once, and says by its key that it belongs there.

    Raises:
        UsageError: the job is not given, there is no good result to take it from, and it cannot be read.
    """
    with suppress(UsageError):  # a damaged result, of which the state says so
        record = directory.result()
        if record is not None:
            return JobView.of(record, job)
    job = directory.job() if job is None else job
    state, reason = directory.state()
    if state in ("done", "diverged"):  # its result came in between
        return _view_of(directory, job)
    return JobView(job, state, reason, directory.progress() if state == "running" else {})


def count_states(views: Iterable[JobView]) -> Counter[State]:
    """Return how many jobs are in each state."""
    return Counter(view.state for view in views)


def seconds_to_go(views: list[JobView], slots: int) -> float | None:
    """Estimate the seconds until all jobs have ended, from the speeds seen so far; ``None`` before there is one.

    A recurrent job whose own model has not been seen on its task is taken to be as fast as the mean of those that have;
    the rows that train nothing recurrent take no time to speak of, but each job takes its start.
    """
    speeds: dict[tuple[str, str], float] = {}
    for view in (view for view in views if view.job.model.hidden_size is not None):
        pair = (view.job.task.name, view.job.model.name)
        if view.train_seconds is not None:
            speeds[pair] = view.train_seconds / view.job.training.max_steps
        elif view.progress.get("steps_per_second"):
            speeds[pair] = 1.0 / float(view.progress["steps_per_second"])
    if not speeds:
        return None
    mean = sum(speeds.values()) / len(speeds)
    left = []
    for view in (view for view in views if view.state in ("waiting", "running")):
        step = speeds.get((view.job.task.name, view.job.model.name), mean) if view.job.model.hidden_size else 0.0
        start = START_SECONDS if view.state == "waiting" else 0.0
        left.append(start + step * view.job.training.max_steps * (1.0 - view.fraction))
    return max([sum(left) / slots, *left], default=0.0)


Kind = tuple[str, str, int | None, int, int]
"""What jobs of about the same speed share: task, model, hidden size, batch size, threads."""


def kind_of(job: Job) -> Kind:
    """Return the kind of a job."""
    return job.task.name, job.model.name, job.model.hidden_size, job.training.batch_size, job.threads


def known_speeds(output: Path, jobs: list[Job]) -> dict[Kind, float]:
    """Return the seconds a step that results below ``output`` took, validations included, for each kind of ``jobs``.

    One result of a kind is read, so that the plan of a large run stays quick.
    """
    speeds: dict[Kind, float] = {}
    for kind, job in {kind_of(job): job for job in jobs}.items():
        for file in JobDirectory.of(output, job).path.parent.glob("seed-*/result.json"):
            try:
                record = JobDirectory(file.parent).result()
            except UsageError:
                continue
            if record is not None and record.cost is not None and kind_of(record.job) == kind:
                speeds[kind] = record.cost.train_seconds / record.job.training.max_steps
                break
    return speeds


def job_seconds(job: Job, speeds: dict[Kind, float]) -> float | None:
    """Estimate how long a job takes; ``None`` where none of its kind is known."""
    speed = speeds.get(kind_of(job))
    return None if speed is None else START_SECONDS + speed * job.training.max_steps


def plan_seconds(jobs: list[Job], speeds: dict[Kind, float], slots: int) -> float | None:
    """Estimate how long jobs take together; ``None`` unless every kind among them is known."""
    times = [job_seconds(job, speeds) for job in jobs]
    known = [time for time in times if time is not None]
    return max([sum(known) / slots, *known], default=0.0) if len(known) == len(times) else None
