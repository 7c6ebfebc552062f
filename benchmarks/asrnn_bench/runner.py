"""A run, from its plan to its leaderboards: what starts, what is skipped, and what is written at the end."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from asrnn.errors import DataError, MissingDataError, UsageError
from asrnn.source_code import import_root
from asrnn_bench.planning.plan import Plan
from asrnn_bench.records import Job, Record, Status, without_result
from asrnn_bench.results.store import merge, read_records, write_records
from asrnn_bench.results.tables import write_leaderboards
from asrnn_bench.running.admission import admit
from asrnn_bench.running.display import Display
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.local import run_local
from asrnn_bench.running.launchers.slots import find_slots
from asrnn_bench.running.snapshot import Observer
from asrnn_data.image_sets import DATA_DIR_VARIABLE, check_images

PUBLISH_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes."""

    output: Path = Path("runs")
    leaderboards: Path = Path("leaderboards")
    data_dir: Path | None = None


@dataclass(frozen=True)
class Machine:
    """How much of this machine a run takes; by default every GPU, or every core."""

    devices: int | None = None
    jobs_per_device: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the record of each of its jobs, in the order of its plan, and what was amiss on disk."""

    plan: Plan
    records: list[Record]
    started: int
    faults: list[str]

    def count(self, status: Status) -> int:
        """Return how many jobs ended with ``status``."""
        return sum(record.status == status for record in self.records)


def execute(plan: Plan, places: Places, machine: Machine, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and bring the leaderboards up to date.

    However the run ends, the results that it has go into the leaderboards.

    Raises:
        UsageError: a folder cannot be written or is in use, or more devices are asked for than there are.
    """
    make_writable(places.leaderboards, "--leaderboards")
    try:
        outcome = run_jobs(plan, places, machine, console)
    except BaseException:
        ended = [record_of(JobDirectory.of(places.output, job), job) for job in plan.jobs]
        publish(places.leaderboards, [record for record in ended if record is not None])
        raise
    return replace(outcome, faults=publish(places.leaderboards, outcome.records))


def run_jobs(plan: Plan, places: Places, machine: Machine, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and return what they came to.

    Raises:
        UsageError: the output folder cannot be written or is in use, or more devices are asked for than there are.
    """
    slots = find_slots(devices=machine.devices, jobs_per_device=machine.jobs_per_device, threads=plan.jobs[0].threads)
    make_writable(places.output, "--output")
    with _alone(places.output):
        directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
        waiting = list(_prepare(plan, directories, places.data_dir))
        environment = _environment(plan, places)
        todo = admit(waiting, plan.files, places.output, {**environment, **dict(slots[0].environment)}, console)
        display = Display(Observer(directories, plan.jobs), console, len(slots))
        with display.open():
            run_local(todo, slots, environment, display.refresh)
    return Outcome(plan, [_record(d, job) for d, job in zip(directories, plan.jobs, strict=True)], len(todo), [])


def record_of(directory: JobDirectory, job: Job) -> Record | None:
    """Return the record of a job that has ended, one way or another; ``None`` for one that waits or runs."""
    if not directory.path.is_dir():
        return None
    state, reason = directory.state()
    if state == "failed" or state == "no-data":
        return without_result(job, state, reason or "no reason is known")
    return directory.result()


def publish(leaderboards: Path, records: list[Record]) -> list[str]:
    """Add records to those that stand, write the leaderboards, and return what could not be read.

    Raises:
        UsageError: the folder cannot be written, or another process holds it for longer than a minute.
    """
    try:
        with FileLock(leaderboards / ".lock", timeout=PUBLISH_TIMEOUT_SECONDS):
            standing, faults = read_records(leaderboards)
            everything = merge(standing, records)
            write_records(leaderboards, everything, superseded=standing)
            write_leaderboards(leaderboards, everything)
    except Timeout as error:
        raise UsageError(f"another process holds {leaderboards}; end it, then: asrnn-bench leaderboard") from error
    return faults


def _record(directory: JobDirectory, job: Job) -> Record:
    """Return the record of a job after all have ended; one without an end was ended by somebody else."""
    found = record_of(directory, job)
    return found or without_result(job, "failed", "its process was ended from outside; run the same command again")


def _prepare(plan: Plan, directories: list[JobDirectory], data_dir: Path | None) -> Iterator[tuple[JobDirectory, Job]]:
    """Write every job, and yield those that have no result and whose data are there."""
    unusable = _unusable_images(plan, data_dir)
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job, plan.files.get(job.model.name))
        if directory.is_done():
            continue
        if job.task.images in unusable:
            directory.skip(*unusable[job.task.images])
        else:
            directory.wait()
            yield directory, job


def _environment(plan: Plan, places: Places) -> dict[str, str]:
    """Return what the workers get: where the data are, and where this process found the models' modules."""
    data = {DATA_DIR_VARIABLE: str(places.data_dir.resolve())} if places.data_dir else {}
    targets = dict.fromkeys(job.model.target for job in plan.jobs if job.model.origin == "module")
    roots = [str(import_root(target)) for target in targets]
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    return data | ({"PYTHONPATH": path} if roots else {})


def _unusable_images(plan: Plan, data_dir: Path | None) -> dict[str, tuple[Status, str]]:
    """Check each image set once, so that no job starts for nothing; return those that cannot be used, and why."""
    found: dict[str, tuple[Status, str]] = {}
    for name in dict.fromkeys(job.task.images for job in plan.jobs):
        try:
            check_images(name, data_dir)
        except MissingDataError as error:
            found[name] = ("no-data", str(error))
        except DataError as error:
            found[name] = ("failed", str(error))
    return found


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep a second runner out: it would do every job again. The results do not depend on it."""
    lock, holder = FileLock(output / ".lock", timeout=0), output / ".holder"
    try:
        lock.acquire()
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UsageError(f"{who} runs jobs in {output}; wait for it, or name another folder with --output") from error
    try:
        holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def make_writable(folder: Path, flag: str) -> None:
    """Make a folder, and see that files can be made in it.

    Raises:
        UsageError: they cannot; the message names the flag that chooses another one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; name another folder with {flag}") from error
