"""Estimate how long jobs and whole runs take, from jobs of the same kind that have run."""

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
"""What a worker takes to import torch and Lightning and to read its data, measured on two cores of an AMD EPYC; taken
until a job of the run has shown what it takes here."""

MOST_AROUND_SECONDS = 600.0
"""More than this beside a training is no start: the files were copied, or the machine slept."""

FITTING_ROUNDS = 20

JobKind = tuple[str, str, int | None, int, int]
"""What jobs of about the same speed share: task, model, hidden size, batch size, threads."""


@dataclass(frozen=True)
class Pace:
    """How fast jobs of a kind are: seconds a training step, validations included, and all that is not training."""

    step_seconds: float
    around_seconds: float = START_SECONDS


def kind_of(job: Job) -> JobKind:
    """Return the kind of a job."""
    return job.task.name, job.model.name, job.model.hidden_size, job.training.batch_size, job.threads


def known_paces(output: Path, jobs: Iterable[Job]) -> dict[JobKind, Pace]:
    """Return the pace of each kind of ``jobs`` that has a result below ``output``.

    One result of a kind is read, so that the plan of a large run stays quick. What a job takes beside its training is
    the median of what these took: the first ones of a run wait for imports that the others share.
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
    """Return the job directories of a kind that have a result; none where a file server does not say."""
    with suppress(OSError):
        return [file.parent for file in parent.glob("seed-*/result.json")]
    return []


def seconds_around(directory: JobDirectory, attempt: int | None, train_seconds: float) -> float | None:
    """Return what a finished job took beside its training: its start, its data and its test.

    The times of its files say it, on whatever machine it ran, if its first attempt came to the result.
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
    """Estimate how long a job takes; ``None`` where none of its kind is known."""
    pace = paces.get(kind_of(job))
    return None if pace is None else pace.around_seconds + pace.step_seconds * job.training.steps


def plan_seconds(jobs: Sequence[Job], paces: dict[JobKind, Pace], slots: int) -> float | None:
    """Estimate how long jobs take together; ``None`` unless every kind among them is known."""
    times = [job_seconds(job, paces) for job in jobs]
    known = [time for time in times if time is not None]
    return max([sum(known) / slots, *known], default=0.0) if len(known) == len(times) else None


def seconds_to_go(views: Sequence[JobView], slots: int, start_seconds: float = START_SECONDS) -> float | None:
    """Estimate the seconds until all jobs have ended, from the speeds seen so far; ``None`` before there is one.

    The rows that train nothing recurrent take no time to speak of, but each job takes its start.

    Args:
        views: the jobs.
        slots: how many run at a time.
        start_seconds: what a job takes beside its training.
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
    """Return what gives the seconds a step of a task and a model; ``None`` before a recurrent job has shown any.

    Of a pair that has results it is their mean, else that of its running jobs. For a pair that was not seen the seconds
    are a factor of the task times one of the model, fitted to the pairs that were; of one whose task or model was not
    seen either, the mean of these factors stands in.
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


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the factor that takes the second numbers of pairs to the first, as a ratio of their sums."""
    below = sum(factor for _, factor in pairs)
    return sum(time for time, _ in pairs) / below if below > 0 else 0.0
