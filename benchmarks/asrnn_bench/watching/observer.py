"""Read the state of a run from its job directories only, so that every shell sees the same."""

import math
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asrnn.errors import UsageError
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.reading import many_objects
from asrnn_bench.jobs.directory import JobDirectory, State
from asrnn_bench.jobs.result_file import glance_at_result
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record

_SHOWN = ("status", "reason", "attempt", "scores", "cost")

NEXT_IN_LINE = 16
"""How many of the waiting jobs every look reads, in the order of the plan, in which launchers start them."""


@dataclass(frozen=True)
class JobView:
    """The state of one job, with the few parts of its result that tables show, as there may be many thousands."""

    job: Job
    state: State
    reason: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    accuracy: float | None = None
    """The test accuracy; for the trial of a search, the validation accuracy."""
    train_seconds: float | None = None
    attempt: int | None = None
    """The number of the attempt that had the result."""
    attempts: int | None = None
    """The number of attempts of a job without a result."""

    @classmethod
    def of(cls, record: Record, job: Job | None = None) -> "JobView":
        """Return the view of a job that has its result; ``job`` replaces the job in the record where it is given."""
        scores, cost = record.scores, record.cost
        accuracy = None if scores is None else scores.test_accuracy if record.job.tested else scores.val_accuracy
        seconds = None if cost is None else cost.train_seconds
        return cls(job or record.job, record.status, record.reason, {}, accuracy, seconds, record.attempt)

    @classmethod
    def at_a_glance(cls, value: dict[str, Any], job: Job | None = None) -> "JobView | None":
        """Return the view of a job from the JSON of its result, without checking digests; ``None`` where it looks odd.

        Args:
            value: the result's JSON object.
            job: the job, where it is known.
        """
        try:
            status, reason, attempt, scores, cost = (value.get(name) for name in _SHOWN)
            job = job or Job.model_validate(value["job"], strict=True)
            accuracy = None if scores is None else scores["test_accuracy" if job.tested else "val_accuracy"]
            seconds = None if cost is None else cost["train_seconds"]
        except (TypeError, KeyError, ValidationError):
            return None
        if status != ("diverged" if scores is None else "done") or not isinstance(attempt, int | None):
            return None
        if not (_lies_within(accuracy, 1.0, scores) and _lies_within(seconds, 1e15, cost)):
            return None
        if not isinstance(reason, str | None):
            return None
        return cls(job, status, reason and plain(reason), {}, accuracy, seconds, attempt)

    @property
    def is_final(self) -> bool:
        """Whether the job has its result, so that its state never changes again."""
        return self.state in ("done", "diverged")

    @property
    def fraction(self) -> float:
        """The share of the training that is done, in [0, 1]."""
        return min(1.0, float(self.progress.get("step") or 0) / self.job.training.steps)


class Observer:
    """Reads job directories again and again, those with a result only once.

    Args:
        directories: the job directories.
        jobs: their jobs, in the same order.
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
                except OSError as error:
                    faults.append(f"{directory.path} cannot be read: {error}")
        observer = cls(directories, [view.job for view in views])
        observer._start(views)
        return observer, faults

    @property
    def views(self) -> list[JobView]:
        """The view of every job at the last look, in the order of the directories."""
        return list(self._views)

    def look(self, seconds: float = math.inf) -> list[JobView]:
        """Return the view of every job, in the order of the directories.

        Running jobs and those that start next are read again. The others take turns: each call reads as many of them as
        there is time for.

        Args:
            seconds: about how long the others may take.
        """
        if not self._views:
            pairs = zip(self.directories, self.jobs, strict=True)
            with many_objects():
                self._start([_first_view_of(directory, job) for directory, job in pairs])
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
        with suppress(OSError):  # the last view stays until the file server answers again
            return known if known.is_final else _view_of(self.directories[index], known.job)
        return known


def _first_view_of(directory: JobDirectory, job: Job) -> JobView:
    try:
        return _view_of(directory, job)
    except OSError as error:  # it is read again in its turn
        return JobView(job, "waiting", f"its directory cannot be read: {error}")


def _view_of(directory: JobDirectory, job: Job | None = None) -> JobView:
    """Return the view of a job directory. Its result is read first, and has the job's key.

    Raises:
        UsageError: the job is not given, and neither a result nor ``job.json`` can be read.
    """
    value = glance_at_result(directory.path)
    if value is not None and str(value.get("key"))[:12] == directory.short_key:
        view = JobView.at_a_glance(value, job)
        if view is not None:
            return view
    if value is not None:
        with suppress(UsageError):  # the result is damaged, and ``directory.state()`` says so
            record = directory.result()
            if record is not None:
                return JobView.of(record, job)
    job = directory.job() if job is None else job
    attempts = directory.attempts()
    state, reason = directory.state_without_result(attempts) if value is None else directory.state()
    if state in ("done", "diverged") or (state == "waiting" and directory.is_done()):  # the result has just appeared
        return _view_of(directory, job)
    progress = directory.progress(attempts) if state == "running" else {}
    if state == "waiting" and (step := directory.saved_step()):  # the step from which it will continue
        progress = {"step": step}
    return JobView(job, state, reason, progress, attempts=len(attempts))


def _lies_within(number: object, most: float, part: object) -> bool:
    """Return whether a number of a result lies in [0, ``most``], or is missing together with its part."""
    if part is None:
        return number is None
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= most


def count_states(views: Iterable[JobView]) -> Counter[State]:
    """Return how many jobs are in each state."""
    return Counter(view.state for view in views)
