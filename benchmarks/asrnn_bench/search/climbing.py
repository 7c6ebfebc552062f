"""Run a search rung by rung: each rung is a run of ordinary jobs that continue from the checkpoints of the last rung.

A rung ends when all of its jobs have ended. All state is read from the job directories, so that the same command
continues a search that was killed, and several runners can work on one search.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from rich.console import Console

from asrnn_bench.files.folders import alone, make_writable
from asrnn_bench.job_records import record_now
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.preparing import Folders
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record
from asrnn_bench.runner import run_jobs
from asrnn_bench.search.halving import Group, SearchPlan, Trial


@dataclass(frozen=True)
class Result:
    """The record of a trial at a rung."""

    group: Group
    trial: Trial
    steps: int
    record: Record


@dataclass
class Climb:
    """The state of a search: its rung, the trials that are at it, all results so far, and the jobs without an end."""

    plan: SearchPlan
    rung: int = 0
    alive: list[tuple[Group, list[Trial]]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    unsettled: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive = [(group, list(group.trials)) for group in self.plan.groups]

    @property
    def jobs(self) -> list[Job]:
        """The jobs of the current rung."""
        return [job for group, trials in self.alive for job in group.jobs(self.rung, trials)]

    def go_on(self, ended: dict[str, Record]) -> None:
        """Add the records of a rung by job key, and step up; a group with a job without an end goes no further."""
        above: list[tuple[Group, list[Trial]]] = []
        for group, trials in self.alive:
            jobs = group.jobs(self.rung, trials)
            records = {t.number: ended[j.key] for t, j in zip(trials, jobs, strict=True) if j.key in ended}
            steps = group.rungs[self.rung]
            self.results += [Result(group, t, steps, records[t.number]) for t in trials if t.number in records]
            unsettled = [job for job in jobs if job.key not in ended]
            self.unsettled += unsettled
            if not unsettled and self.rung + 1 < self.plan.rungs:
                above.append((group, group.going_on(self.rung, records)))
        self.alive = [(group, trials) for group, trials in above if trials]
        self.rung += 1

    @property
    def is_over(self) -> bool:
        """Whether no trial goes on."""
        return not self.alive or self.rung >= self.plan.rungs


def climb(plan: SearchPlan, folders: Folders, settings: LaunchSettings, console: Console) -> Climb:
    """Run a search, or the rest of it, and return its final state.

    Raises:
        UsageError: the output folder cannot be written or is in use, or more devices are asked for than there are.
        DeviceError: torch cannot compute on the GPUs of the run.
    """
    found = Climb(plan)
    make_writable(folders.output, "--output")
    with alone(folders.output, console, join=settings.join):
        while not found.is_over:
            jobs = found.jobs
            console.print(_heading(found, len(jobs)), soft_wrap=True)
            _hand_over(found, folders)
            outcome = run_jobs(plan.of(jobs), folders, replace(settings, join=True), console)
            ended = _ended(jobs, outcome.records, folders)
            found.go_on(ended)
    if not found.unsettled and not settings.options.keep_checkpoints:
        for result in found.results:
            shutil.rmtree(_directory(result.trial.until(result.steps), folders).checkpoints, ignore_errors=True)
    return found


def look(plan: SearchPlan, folders: Folders) -> Climb:
    """Return the state of a search without running anything.

    Its rung is the first with a job that has not ended, or the last rung.
    """
    found = Climb(plan)
    while True:
        records = {job.key: record_now(_directory(job, folders), job) for job in found.jobs}
        ended = {key: record for key, record in records.items() if record is not None}
        here = found.rung, found.alive
        if len(ended) == len(records):
            found.go_on(ended)
        if len(ended) < len(records) or found.is_over:
            found.rung, found.alive = here
            return found


def _heading(found: Climb, jobs: int) -> str:
    steps = sorted({group.rungs[found.rung] for group, _ in found.alive})
    up_to = " or ".join(f"{count:,}" for count in steps)
    share = found.plan.steps(found.rung) / sum(map(found.plan.steps, range(found.plan.rungs)))
    return (
        f"rung {found.rung + 1} of {found.plan.rungs}: {jobs} trial{'s' * (jobs != 1)} until step {up_to}, "
        f"{share:.0%} of the steps of the search"
    )


def _ended(jobs: Sequence[Job], records: Sequence[Record], folders: Folders) -> dict[str, Record]:
    """Return the records of the jobs that have ended, by job key.

    A record without a result is read again from the directory: another runner may go on with the job, or have ended it.
    """
    found = {}
    for job, said in zip(jobs, records, strict=True):
        record = record_now(_directory(job, folders), job) if said.status == "failed" else said
        if record is not None:
            found[job.key] = record
    return found


def _hand_over(found: Climb, folders: Folders) -> None:
    """Copy the checkpoints of the last rung to the jobs of this one; a job without a checkpoint begins anew."""
    if found.rung == 0:
        return
    for group, trials in found.alive:
        for trial in trials:
            earlier = _directory(trial.until(group.rungs[found.rung - 1]), folders)
            directory = _directory(trial.until(group.rungs[found.rung]), folders)
            with suppress(OSError):
                if not directory.is_done() and directory.saved_step() < earlier.saved_step():
                    directory.path.mkdir(parents=True, exist_ok=True)
                    directory.take_checkpoint(earlier)


def _directory(job: Job, folders: Folders) -> JobDirectory:
    return JobDirectory.of(folders.output, job)
