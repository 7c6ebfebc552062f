"""A run from its plan to its leaderboard; the command line and Python both come through here."""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from asrnn.errors import DataError, MissingDataError, ModelError, UsageError
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.records import Record, Status, without_result
from asrnn_bench.results.store import merge, read_records, write_records
from asrnn_bench.results.tables import write_leaderboards
from asrnn_bench.running.display import Display
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.local import run_local
from asrnn_bench.running.launchers.slots import find_slots
from asrnn_bench.running.snapshot import Observer
from asrnn_data.image_sets import check_images, resolve_data_dir

if TYPE_CHECKING:
    import pandas as pd


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
    """What a run came to: the records of its jobs, in the order of its plan, and what was written."""

    plan: Plan
    records: list[Record]
    started: int
    faults: list[str]

    def count(self, status: Status) -> int:
        """Return how many jobs ended with ``status``."""
        return sum(record.status == status for record in self.records)


def run(
    suite: str = "long-range",
    *,
    models: Sequence[str | type] = (),
    tasks: Sequence[str] = (),
    seeds: Sequence[int] = (),
    budget: str | None = None,
    max_steps: int | None = None,
    threads: int = 1,
    devices: int | None = None,
    jobs_per_device: int = 1,
    output: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    data_dir: str | Path | None = None,
) -> "pd.DataFrame":
    """Run a suite and return its leaderboard, as ``asrnn-bench --suite`` does.

    Args:
        suite: a shipped suite or a TOML file.
        models: registered names, ``FILE.py:Class``, ``package.module:Class``, or classes that stand in a file.
        tasks: tasks of the suite; empty means all.
        seeds: empty means those of the budget.
        budget: how long a job trains; the suite's default one unless it is named.
        max_steps: train for so many optimiser steps instead, under a budget name of its own.
        threads: threads of a job on CPU.
        devices: how many GPUs, or groups of cores; all by default.
        jobs_per_device: how many jobs share one.
        output: the folder of the job directories.
        leaderboards: the folder of records and leaderboards.
        data_dir: a root that torchvision accepts; ``ASRNN_DATA_DIR`` by default.

    Returns:
        the leaderboard rows of this run; a job without a score is a row with its reason.

    Raises:
        AsrnnError: what was asked for cannot be done; the message says what to change.
    """
    from asrnn_bench.results.leaderboard import frame

    refs = [model if isinstance(model, str) else class_reference(model) for model in models]
    request = Request(budget, refs, tasks, seeds, max_steps, threads)
    places = Places(Path(output), Path(leaderboards), resolve_data_dir(data_dir))
    outcome = execute(make_plan(load_suite(suite), request), places, Machine(devices, jobs_per_device), Console())
    return frame(outcome.records)


def class_reference(model: type) -> str:
    """Return the reference that finds a class again in another process.

    Raises:
        ModelError: the class stands in no file, as one that was typed at a prompt.
    """
    try:
        file = inspect.getsourcefile(model)
    except (TypeError, OSError):
        file = None
    if "<locals>" in model.__qualname__ or file is None or not Path(file).is_file():
        raise ModelError(
            f"{model.__qualname__} is not at the top of a file: write it to one, as FILE.py:{model.__name__}"
        )
    module = model.__module__
    installed = "site-packages" in Path(file).parts or module.startswith("asrnn.")
    return f"{module}:{model.__qualname__}" if installed else f"{file}:{model.__qualname__}"


def execute(plan: Plan, places: Places, machine: Machine, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and bring the leaderboards up to date.

    However the run ends, the results that it has go into the leaderboards.

    Raises:
        UsageError: a folder cannot be written, or more devices are asked for than there are.
    """
    _writable(places.leaderboards, "--leaderboards")
    try:
        outcome = run_jobs(plan, places, machine, console)
    except BaseException:
        _publish(places, _collect(places, plan))
        raise
    return replace(outcome, faults=_publish(places, outcome.records))


def run_jobs(plan: Plan, places: Places, machine: Machine, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and return what they came to.

    Raises:
        UsageError: the output folder cannot be written, or more devices are asked for than there are.
    """
    slots = find_slots(devices=machine.devices, jobs_per_device=machine.jobs_per_device, threads=plan.jobs[0].threads)
    _writable(places.output, "--output")
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job, plan.files.get(job.model.name))
    unusable = _unusable_images(plan, places.data_dir)
    todo = []
    for directory, job in zip(directories, plan.jobs, strict=True):
        if directory.is_done():
            continue
        if job.task.images in unusable:
            directory.skip(*unusable[job.task.images])
        else:
            todo.append(directory)
    environment = {"ASRNN_DATA_DIR": str(places.data_dir.resolve())} if places.data_dir else {}
    display = Display(Observer(directories), console, len(slots))
    with display.open():
        run_local(todo, slots, environment, display.refresh)
    return Outcome(plan, _collect(places, plan), len(todo), [])


def _publish(places: Places, records: list[Record]) -> list[str]:
    """Add records to those that stand, write the leaderboards, and return what could not be read."""
    standing, faults = read_records(places.leaderboards)
    everything = merge(standing, records)
    write_records(places.leaderboards, everything)
    write_leaderboards(places.leaderboards, everything)
    return faults


def _collect(places: Places, plan: Plan) -> list[Record]:
    """Return the record of every job that has ended, one way or another."""
    records = []
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
        if not directory.path.is_dir():
            continue
        state, reason = directory.state()
        result = directory.result() if state in ("done", "diverged") else None
        if result is not None:
            records.append(result)
        elif state == "failed" or state == "no-data":
            records.append(without_result(job, state, reason or "no reason is known"))
    return records


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


def _writable(folder: Path, flag: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; name another folder with {flag}") from error
