"""A run, from its plan to its leaderboards: what starts, what is skipped, and what is written at the end."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from asrnn.compiling import why_not_compiled
from asrnn.errors import DataError, MissingDataError, UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.folders import alone, make_writable, require_writable
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.writing import is_there, sync_file_system
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options, missing_loggers
from asrnn_bench.launching.admission import admit
from asrnn_bench.launching.choice import choose_launcher
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Loss, Record, Status, without_result
from asrnn_bench.results.publishing import BusyError, Published, bring_up_to_date, update_command
from asrnn_bench.results.store import StoredRecord
from asrnn_bench.watching.display import Display
from asrnn_bench.watching.observer import Observer
from asrnn_data.image_sets import check_images

MOST_UNWRITTEN = 3
"""How many jobs a file server may fail to take before the whole folder counts as one that cannot be used."""


@dataclass(frozen=True)
class Folders:
    """Where a run reads and writes."""

    output: Path = Path("runs")
    leaderboards: Path = Path("leaderboards")
    data_dir: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the record of each of its jobs, in the order of its plan, and what was amiss on disk."""

    plan: Plan
    records: list[Record]
    started: int
    faults: list[str]
    leaderboard: Path | None = None
    """The CSV that the records are in; ``None`` where they could not be published."""

    def count(self, status: Status) -> int:
        """Return how many jobs ended with ``status``."""
        return sum(record.status == status for record in self.records)


def execute(plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and bring the leaderboards up to date.

    However the run ends, the results that it has go into the leaderboards.

    Raises:
        UsageError: a folder cannot be written or is in use, or more devices are asked for than there are.
    """
    require_writable(places.leaderboards, "--leaderboards")
    try:
        outcome = run_jobs(plan, places, machine, console)
    except BaseException:
        ended = [_record_if_any(JobDirectory.of(places.output, job), job) for job in plan.jobs]
        try:
            if any(ended):
                make_writable(places.leaderboards, "--leaderboards")
                update_leaderboards(places, [record for record in ended if record is not None])
        except (UsageError, OSError) as error:  # why the run ended matters more
            console.print(f"warning: {error}", soft_wrap=True)
        raise
    make_writable(places.leaderboards, "--leaderboards")
    try:
        published = update_leaderboards(places, outcome.records)
    except BusyError as error:
        return replace(outcome, faults=[f"the leaderboards lack this run: {error}"])
    except OSError as error:
        later = update_command(places.output, places.leaderboards)
        fault = f"the leaderboards lack this run: {places.leaderboards} fails: {error.strerror}; later, run: {later}"
        return replace(outcome, faults=[fault])
    return replace(outcome, faults=published.faults, leaderboard=_leaderboard(places.leaderboards, published, plan))


def _leaderboard(folder: Path, published: Published, plan: Plan) -> Path | None:
    """Return the file of the leaderboard of a plan's jobs."""
    own = plan.suite.name, plan.budget, plan.suite.version
    names = [board.name for board in published.boards if (board.suite, board.budget, board.version) == own]
    return folder / f"{names[0]}.csv" if names else None


def run_jobs(plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and return what they came to.

    Raises:
        UsageError: the output folder cannot be written or is in use, or more devices are asked for than there are.
        DeviceError: torch cannot compute on the GPUs that are named.
    """
    launcher = launcher_of(plan, machine)
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    if not all(map(is_known_to_be_done, directories)):
        launcher.check()
    make_writable(places.output, "--output")
    with alone(places.output, console, join=machine.join):
        waiting = prepare(plan, directories, places, machine)
        options = _options(plan, places, machine.options)
        if launcher.on_cluster:
            options = options.on_a_cluster()
        todo = admit(
            waiting, plan.files, places.output, {**options.environment(), **launcher.check_environment}, console
        )
        if todo:
            console.print(f"{len(todo)} job{'s' * (len(todo) != 1)} to run, {launcher.pace}", soft_wrap=True)
            say_if_scans_are_slow(launcher.check_environment, console)
        display = Display(Observer(directories, plan.jobs), console, launcher.at_a_time)
        with display.open():
            last_words = launcher.run(todo, options, display.refresh, partial(console.print, soft_wrap=True))
    return Outcome(plan, list(records_of(directories, plan.jobs, last_words)), len(todo), [])


def launcher_of(plan: Plan, settings: LaunchSettings) -> Launcher:
    """Return the launcher for the jobs of a plan.

    Raises:
        UsageError: it cannot do what the settings ask for.
    """
    _can_be_shared_out(plan, settings.options.world_size)
    lacking = missing_loggers(settings.options.loggers)
    if lacking is not None:
        raise UsageError(lacking)
    return choose_launcher(settings, plan.jobs[0].threads)


def say_if_scans_are_slow(environment: Mapping[str, str], console: Console) -> None:
    """Say once where people look that no C can be compiled here; else only the logs of workers say so.

    Args:
        environment: what workers on this machine get; those on a GPU need no compiler.
        console: where to say it.
    """
    if not environment.get("CUDA_VISIBLE_DEVICES") and (why := why_not_compiled()):
        console.print(f"scans take their steps in Python, several times slower: {why}", soft_wrap=True)


def is_known_to_be_done(directory: JobDirectory) -> bool:
    """Return whether a job has its result; one whose directory cannot be read now is not known to have one."""
    with suppress(OSError):
        return directory.is_done()
    return False


def record_of(directory: JobDirectory, job: Job) -> Record | None:
    """Return the record of a job that has ended, one way or another; ``None`` for one that waits or runs.

    Raises:
        OSError: its directory cannot be read.
    """
    if not is_there(directory.path):
        return None
    try:
        # A result may come in between.
        return directory.result() or _record_without_result(directory, job) or directory.result()
    except UsageError as error:
        return without_result(job, "failed", str(error))


def _record_if_any(directory: JobDirectory, job: Job) -> Record | None:
    """Return the record of a job after one look: a run that was interrupted waits for no file server."""
    with suppress(OSError):
        return record_of(directory, job)
    return None


def _record_without_result(directory: JobDirectory, job: Job) -> Record | None:
    lost = how_it_was_lost(directory)
    return None if lost is None else without_result(job, *lost)


def how_it_was_lost(directory: JobDirectory) -> tuple[Loss, str] | None:
    """Return status and reason of a job that has ended without a result; ``None`` for one that waits or runs."""
    state, reason = directory.state_without_result()
    if state == "failed" or state == "no-data":
        return state, plain(reason or "no reason is known")
    return None


def update_leaderboards(places: Folders, records: Iterable[Record]) -> Published:
    """Add the records of a run to those that stand, and write the leaderboards.

    Raises:
        BusyError: another process holds the leaderboards for too long; the message says how to do it later.
        OSError: the file system fails for longer than anybody waits, in a way that passes.
        UsageError: the folder of the leaderboards cannot be written.
    """
    found = [found_in(JobDirectory.of(places.output, record.job), record) for record in records]
    again = update_command(places.output, places.leaderboards)
    return wait_out(lambda: bring_up_to_date(places.leaderboards, lambda standing: found, again=again))


def found_in(directory: JobDirectory, record: Record) -> StoredRecord:
    """Return a record of a job directory with the file that holds it; one of a job without a result has none."""
    return StoredRecord(record, directory.result_file() if record.is_result else None)


def records_of(
    directories: Iterable[JobDirectory], jobs: Iterable[Job], last_words: Mapping[JobDirectory, str]
) -> Iterator[Record]:
    """Yield the records of jobs after all have ended; a job without an end was ended by somebody else.

    A file server that is away is waited for once, not for each of its directories.
    """
    patience = None
    for directory, job in zip(directories, jobs, strict=True):
        try:
            found = wait_out(partial(record_of, directory, job), patience)
        except OSError as error:
            patience = 0.0 if is_passing(error) else patience
            reason = f"{directory.path} cannot be read: {error.strerror}; run the same command again"
            found = without_result(job, "failed", reason)
        yield found or without_result(
            job, "failed", last_words.get(directory) or "its process was ended from outside; run the same command again"
        )


def prepare(
    plan: Plan, directories: list[JobDirectory], places: Folders, machine: LaunchSettings
) -> list[tuple[JobDirectory, Job]]:
    """Write every job, and return those to start; all of it is on disk before the first one starts."""
    waiting = list(_prepare(plan, directories, places.data_dir, machine))
    wait_out(partial(sync_file_system, places.output))
    return waiting


def _prepare(
    plan: Plan, directories: list[JobDirectory], data_dir: Path | None, machine: LaunchSettings
) -> Iterator[tuple[JobDirectory, Job]]:
    """Write every job, and yield those that have no result, are not given up, and whose data are there."""
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
            is_new = True  # whoever starts it says what is amiss, and the other jobs go on
        if is_new and job.task.images not in unusable:
            yield directory, job
            continue
        try:
            if wait_out(partial(_is_to_run, directory, machine, unusable.get(job.task.images)), patience):
                yield directory, job
        except OSError:
            patience = 0.0
            yield directory, job


def _is_to_run(directory: JobDirectory, machine: LaunchSettings, unusable: tuple[Status, str] | None) -> bool:
    """Return whether a job that may have been at work before is to be started, and say in its directory if not."""
    if directory.is_done() and not (machine.retry_failed and _puts_aside(directory)):
        return False
    if machine.retry_failed and directory.is_given_up(machine.options.retries):
        directory.start_afresh()
    if unusable is not None:
        directory.skip(*unusable)
        return False
    if directory.is_given_up(machine.options.retries):
        return False
    if directory.state()[0] not in ("waiting", "running") and directory.holder() is None:
        directory.wait()
    return True


def _puts_aside(directory: JobDirectory) -> bool:
    """Put a damaged result aside, and return whether there was one."""
    try:
        return directory.put_aside_damaged_result()
    except OSError as error:
        raise UsageError(f"cannot rename {directory.result_file()}: {error.strerror}") from error


def _options(plan: Plan, places: Folders, options: Options) -> Options:
    """Return the options with where the data are, and where this process found the models' modules."""
    roots = list(map(str, plan.import_roots))
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    data_dir = str(places.data_dir.resolve()) if places.data_dir else None
    return options.model_copy(update={"data_dir": data_dir, "python_path": path if roots else None})


def _can_be_shared_out(plan: Plan, processes: int) -> None:
    """Refuse a batch that cannot be divided among the processes of a job: gradients would be weighed wrongly."""
    for size in sorted({job.training.batch_size for job in plan.jobs}):
        if size % processes:
            raise UsageError(
                f"batches of {size} cannot be shared out evenly among {processes} devices; "
                f"choose a --devices-per-job that divides {size}"
            )


def _unusable_images(plan: Plan, data_dir: Path | None) -> dict[str, tuple[Status, str]]:
    """Check each image set once, so that no job starts for nothing; return those that cannot be used, and why."""
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
