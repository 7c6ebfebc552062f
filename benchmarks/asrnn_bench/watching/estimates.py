"""Estimate how long jobs and whole runs take, from jobs of the same kind that have run."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.watching.observer import JobView

START_SECONDS = 8.0
"""The time of a job beside its training: to import torch and Lightning and to read the data. It was measured on two
cores of an AMD EPYC, and is used until a job has shown its time on this machine."""

MOST_AROUND_SECONDS = 600.0
"""The most seconds that a job can take beside its training. Where there are more, the files were copied or the machine
slept."""

FITTING_ROUNDS = 20

STEADY_SECONDS = 120.0
"""The time constant with which the time to go that is shown follows a new estimate."""

JobKind = tuple[str, str, int | None, int, int]
"""The task, model, hidden size, batch size and threads of a job; jobs of one kind have about the same speed."""


@dataclass(frozen=True)
class Pace:
    """The speed of jobs of a kind: seconds a training step, validations included, and seconds beside the training."""

    step_seconds: float
    around_seconds: float = START_SECONDS


def kind_of(job: Job) -> JobKind:
    """Return the kind of a job."""
    return job.task.name, job.model.name, job.model.hidden_size, job.training.batch_size, job.threads


def known_paces(output: Path, jobs: Iterable[Job]) -> dict[JobKind, Pace]:
    """Return the pace of each kind of ``jobs`` that has a result below ``output``.

    One result of each kind is read, so that the plan of a large run stays quick. The time beside the training is the
    median over these jobs, as the first jobs of a run wait for imports that the others share.
    """
    steps: dict[JobKind, float] = {}
    starts: list[float] = []
    for kind, job in {kind_of(job): job for job in jobs}.items():
        for folder in _folders(JobDirectory.of(output, job).path.parent):
            directory = JobDirectory(folder)
            try:
                record = directory.result()
            except (UsageError, OSError):
                continue
            if record is not None and record.cost is not None and kind_of(record.job) == kind:
                seconds = record.cost.train_seconds
                around = seconds_around(directory, record.attempt, seconds)
                starts += [] if around is None else [around]
                steps[kind] = seconds / record.job.training.steps
                break
    start = median(starts) if starts else START_SECONDS
    return {kind: Pace(step, start) for kind, step in steps.items()}


def _folders(parent: Path) -> list[Path]:
    """Return the job directories in a folder that have a result; none where the folder cannot be listed just now."""
    with suppress(OSError):
        return [file.parent for file in parent.glob("seed-*/result.json")]
    return []


def seconds_around(directory: JobDirectory, attempt: int | None, train_seconds: float) -> float | None:
    """Return the seconds of a finished job beside its training: its start, its data and its test.

    They follow from the times of its files, if its first attempt had the result; else ``None`` is returned.
    """
    if attempt != 1:
        return None
    try:
        ended = (directory.path / "result.json").stat().st_mtime
        around = ended - (directory.attempt(1).path / "claim.json").stat().st_mtime - train_seconds
    except OSError:
        return None
    return around if 0 <= around <= MOST_AROUND_SECONDS else None


def job_seconds(job: Job, paces: dict[JobKind, Pace]) -> float | None:
    """Estimate the seconds of a job; ``None`` where the pace of its kind is unknown."""
    pace = paces.get(kind_of(job))
    return None if pace is None else pace.around_seconds + pace.step_seconds * job.training.steps


def plan_seconds(jobs: Sequence[Job], paces: dict[JobKind, Pace], slots: int) -> float | None:
    """Estimate the seconds of several jobs together; ``None`` unless the pace of every kind is known."""
    times = [job_seconds(job, paces) for job in jobs]
    known = [time for time in times if time is not None]
    return max([sum(known) / slots, *known], default=0.0) if len(known) == len(times) else None


def seconds_to_go(views: Sequence[JobView], slots: int, start_seconds: float = START_SECONDS) -> float | None:
    """Estimate the seconds until all jobs have ended from the speeds so far; ``None`` while no speed is known.

    Models that train nothing recurrent count with ``start_seconds`` only.

    Args:
        views: the jobs.
        slots: how many jobs run at a time.
        start_seconds: the seconds of a job beside its training.
    """
    speed_of = _step_seconds(views)
    if speed_of is None:
        return None
    left = []
    for view in views:
        if view.state in ("waiting", "running"):
            step = speed_of(view.job.task.name, view.job.model.name) if view.job.model.hidden_size else 0.0
            start = start_seconds if view.state == "waiting" else 0.0
            left.append(start + step * view.job.training.steps * (1.0 - view.fraction))
    return max([sum(left) / slots, *left], default=0.0)


def _step_seconds(views: Iterable[JobView]) -> Callable[[str, str], float] | None:
    """Return a function from task and model to seconds a step; ``None`` while no recurrent job has shown its speed.

    A pair of task and model with results has their mean, else the mean of its running jobs. For any other pair the
    seconds are a factor of the task times a factor of the model, fitted to the known pairs. A task or a model without
    any known pair has the mean of these factors.
    """
    finished: dict[tuple[str, str], list[float]] = {}
    running: dict[tuple[str, str], list[float]] = {}
    for view in views:
        if view.job.model.hidden_size is None:
            continue
        pair = (view.job.task.name, view.job.model.name)
        if view.train_seconds is not None:
            finished.setdefault(pair, []).append(view.train_seconds / view.job.training.steps)
        elif view.progress.get("steps_per_second"):
            running.setdefault(pair, []).append(1.0 / float(view.progress["steps_per_second"]))
    seen = {pair: mean(times) for pair, times in (running | finished).items()}
    if not seen:
        return None
    of_task: dict[str, list[tuple[str, float]]] = {}
    of_model: dict[str, list[tuple[str, float]]] = {}
    for (task, model), seconds in seen.items():
        of_task.setdefault(task, []).append((model, seconds))
        of_model.setdefault(model, []).append((task, seconds))
    tasks, models = dict.fromkeys(of_task, 1.0), dict.fromkeys(of_model, 1.0)
    for _ in range(FITTING_ROUNDS):
        models = {model: _ratio([(time, tasks[task]) for task, time in times]) for model, times in of_model.items()}
        tasks = {task: _ratio([(time, models[model]) for model, time in times]) for task, times in of_task.items()}
    usual_task, usual_model = mean(tasks.values()), mean(models.values())

    def speed_of(task: str, model: str) -> float:
        known = seen.get((task, model))
        return tasks.get(task, usual_task) * models.get(model, usual_model) if known is None else known

    return speed_of


class TimeToGo:
    """Smooth the time to go that is shown: it counts down, and moves slowly to each new estimate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._at = clock, clock()
        self._shown: float | None = None

    def update(self, estimate: float | None) -> float | None:
        """Return the seconds to show after a new estimate; ``None`` while there was no estimate."""
        passed, self._at = self._clock() - self._at, self._clock()
        if estimate is None or self._shown is None:
            self._shown = estimate
        else:
            drifted = 1.0 - math.exp(-passed / STEADY_SECONDS)
            expected = max(0.0, self._shown - passed)
            self._shown = expected + drifted * (estimate - expected)
        return self._shown


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the ratio of the sum of the first numbers of pairs to the sum of the second ones."""
    below = sum(factor for _, factor in pairs)
    return sum(time for time, _ in pairs) / below if below > 0 else 0.0
