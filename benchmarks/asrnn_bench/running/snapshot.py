"""Where a run stands, read from its job directories alone, so that every shell sees the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.records import Job, Record
from asrnn_bench.running.job_directory import JobDirectory, State

START_SECONDS = 8.0
"""What a worker takes to import torch and Lightning and to read its data, measured on two cores of an AMD EPYC."""


@dataclass(frozen=True)
class JobView:
    """One job as an observer sees it."""

    job: Job
    state: State
    reason: str | None
    progress: dict[str, Any]
    record: Record | None

    @property
    def accuracy(self) -> float | None:
        """The test accuracy; for the trial of a search, the validation accuracy."""
        if self.record is None or self.record.scores is None:
            return None
        return self.record.scores.test_accuracy if self.job.tested else self.record.scores.val_accuracy

    @property
    def fraction(self) -> float:
        """How much of its training is behind it, in [0, 1]."""
        return min(1.0, float(self.progress.get("step") or 0) / self.job.training.max_steps)


@dataclass
class Observer:
    """Reads job directories again and again, each finished one only once."""

    directories: list[JobDirectory]
    jobs: list[Job]
    _finished: dict[JobDirectory, JobView] = field(default_factory=dict)

    @classmethod
    def below(cls, output: Path) -> tuple["Observer", list[str]]:
        """Return an observer of all jobs below a folder, and a line for each directory that cannot be read."""
        found: list[tuple[JobDirectory, Job]] = []
        faults: list[str] = []
        for directory in JobDirectory.below(output):
            try:
                found.append((directory, directory.job()))
            except UsageError as error:
                faults.append(str(error))
        return cls([directory for directory, _ in found], [job for _, job in found]), faults

    def look(self) -> list[JobView]:
        """Return every job's view, in the order of the directories."""
        pairs = zip(self.directories, self.jobs, strict=True)
        return [self._finished.get(directory) or self._look_at(directory, job) for directory, job in pairs]

    def _look_at(self, directory: JobDirectory, job: Job) -> JobView:
        state, reason = directory.state()
        record = directory.result() if state in ("done", "diverged") else None
        progress = directory.progress() if state == "running" else {}
        view = JobView(job, state, reason, progress, record)
        if record is not None:
            self._finished[directory] = view
        return view


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
        if view.record is not None and view.record.cost is not None:
            speeds[pair] = view.record.cost.train_seconds / view.job.training.max_steps
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
