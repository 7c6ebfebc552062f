"""Prepare a run: choose its launcher, check its data, write its job directories, and select the jobs to start."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asrnn.errors import DataError, MissingDataError, UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.writing import sync_file_system
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options, missing_loggers
from asrnn_bench.jobs.result_file import put_aside_if_damaged
from asrnn_bench.launching.choice import choose_launcher
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Status
from asrnn_data.image_sets import check_images

MOST_UNWRITTEN = 3
"""If a file server fails to take more jobs than this, the run ends: the folder cannot be used."""


@dataclass(frozen=True)
class Folders:
    """Where a run reads and writes."""

    output: Path = Path("runs")
    leaderboards: Path = Path("leaderboards")
    data_dir: Path | None = None


def launcher_of(plan: Plan, settings: LaunchSettings) -> Launcher:
    """Return the launcher for the jobs of a plan.

    Raises:
        UsageError: it cannot do what the settings ask for.
    """
    _require_equal_shares(plan, settings.options.world_size)
    lacking = missing_loggers(settings.options.loggers)
    if lacking is not None:
        raise UsageError(lacking)
    return choose_launcher(settings, plan.jobs[0].threads)


def _require_equal_shares(plan: Plan, processes: int) -> None:
    """Refuse a batch that the processes of a job cannot divide evenly: gradients would get wrong weights."""
    for size in sorted({job.training.batch_size for job in plan.jobs}):
        if size % processes:
            raise UsageError(
                f"batches of {size} cannot be shared out evenly among {processes} devices; "
                f"choose a --devices-per-job that divides {size}"
            )


def worker_options(plan: Plan, folders: Folders, options: Options) -> Options:
    """Return the options with the folder of the data, and the folders of the modules that define models."""
    roots = list(map(str, plan.import_roots))
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    data_dir = str(folders.data_dir.resolve()) if folders.data_dir else None
    return options.model_copy(update={"data_dir": data_dir, "python_path": path if roots else None})


def prepare(
    plan: Plan, directories: list[JobDirectory], folders: Folders, settings: LaunchSettings
) -> list[tuple[JobDirectory, Job]]:
    """Write the directory of every job, and return the jobs to start, once all of it is on disk."""
    waiting = list(_prepare(plan, directories, folders.data_dir, settings))
    wait_out(partial(sync_file_system, folders.output))
    return waiting


def _prepare(
    plan: Plan, directories: list[JobDirectory], data_dir: Path | None, settings: LaunchSettings
) -> Iterator[tuple[JobDirectory, Job]]:
    """Write the directory of every job, and yield the jobs that have no result, are not given up, and have data."""
    unusable = _unusable_images(plan, data_dir)
    patience = None
    unwritten = 0
    for directory, job in zip(directories, plan.jobs, strict=True):
        try:
            is_new = directory.write_job(job, plan.files.get(job.model.name))
        except UsageError as error:
            unwritten += 1
            if unwritten > MOST_UNWRITTEN or error.__cause__ is None or not is_passing(error.__cause__):
                raise
            is_new = True  # its supervisor will say what is wrong; the other jobs run
        if is_new and job.task.images not in unusable:
            yield directory, job
            continue
        try:
            if wait_out(partial(_is_to_start, directory, settings, unusable.get(job.task.images)), patience):
                yield directory, job
        except OSError:
            patience = 0.0
            yield directory, job


def _is_to_start(directory: JobDirectory, settings: LaunchSettings, unusable: tuple[Status, str] | None) -> bool:
    """Return whether to start a job that has a directory already; if not, write the reason into the directory."""
    if directory.is_done() and not (settings.retry_failed and _put_result_aside(directory)):
        return False
    if settings.retry_failed and directory.is_given_up(settings.options.retries):
        directory.start_afresh()
    if unusable is not None:
        directory.skip(*unusable)
        return False
    if directory.is_given_up(settings.options.retries):
        return False
    if directory.state()[0] not in ("waiting", "running") and directory.holder() is None:
        directory.wait()
    return True


def _put_result_aside(directory: JobDirectory) -> bool:
    """Rename a damaged result, and return whether there was one."""
    try:
        return put_aside_if_damaged(directory.path)
    except OSError as error:
        raise UsageError(f"cannot rename {directory.result_file()}: {error.strerror}") from error


def _unusable_images(plan: Plan, data_dir: Path | None) -> dict[str, tuple[Status, str]]:
    """Check each image set once, before any job starts; return the reason for each that cannot be used."""
    found: dict[str, tuple[Status, str]] = {}
    for name in dict.fromkeys(job.task.images for job in plan.jobs):
        try:
            wait_out(partial(_check_images, name, data_dir))
        except OSError as error:
            found[name] = ("failed", f"the files of '{name}' cannot be read: {error}")
        except MissingDataError as error:
            found[name] = ("no-data", str(error))
        except DataError as error:
            found[name] = ("failed", str(error))
    return found


def _check_images(name: str, data_dir: Path | None) -> None:
    try:
        check_images(name, data_dir)
    except DataError as error:
        if error.__cause__ is not None and is_passing(error.__cause__):
            raise error.__cause__ from error
        raise
