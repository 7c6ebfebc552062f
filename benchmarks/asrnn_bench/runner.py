"""Run a plan: start the jobs that have no result, and bring the leaderboards up to date at the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from asrnn.compiling import why_not_compiled
from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.files.folders import alone, make_writable, require_writable
from asrnn_bench.job_records import is_known_to_be_done, record_now, records_of, stored
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.admission import admit
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders, launcher_of, prepare, worker_options
from asrnn_bench.records.record import Record, Status
from asrnn_bench.results.publishing import BusyError, Published, bring_up_to_date, update_command
from asrnn_bench.watching.display import Display
from asrnn_bench.watching.observer import Observer


@dataclass(frozen=True)
class Outcome:
    """The record of each job of a run, in the order of its plan, and the faults that were found on disk."""

    plan: Plan
    records: list[Record]
    started: int
    faults: list[str]
    leaderboard: Path | None = None
    """The CSV that holds the records; ``None`` if they could not be published."""

    def count(self, status: Status) -> int:
        """Return how many jobs ended with ``status``."""
        return sum(record.status == status for record in self.records)


def execute(plan: Plan, folders: Folders, settings: LaunchSettings, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and bring the leaderboards up to date.

    The results of a run that ends early go into the leaderboards, too.

    Raises:
        UsageError: a folder cannot be written or is in use, or more devices are asked for than there are.
    """
    require_writable(folders.leaderboards, "--leaderboards")
    try:
        outcome = run_jobs(plan, folders, settings, console)
    except BaseException:
        ended = [record_now(JobDirectory.of(folders.output, job), job) for job in plan.jobs]
        try:
            if any(ended):
                make_writable(folders.leaderboards, "--leaderboards")
                update_leaderboards(folders, [record for record in ended if record is not None])
        except (UsageError, OSError) as error:  # the error that ended the run matters more
            console.print(f"warning: {error}", soft_wrap=True)
        raise
    make_writable(folders.leaderboards, "--leaderboards")
    try:
        published = update_leaderboards(folders, outcome.records)
    except BusyError as error:
        return replace(outcome, faults=[f"the leaderboards lack this run: {error}"])
    except OSError as error:
        later = update_command(folders.output, folders.leaderboards)
        fault = f"the leaderboards lack this run: {folders.leaderboards} fails: {error.strerror}; later, run: {later}"
        return replace(outcome, faults=[fault])
    return replace(outcome, faults=published.faults, leaderboard=_leaderboard(folders.leaderboards, published, plan))


def _leaderboard(folder: Path, published: Published, plan: Plan) -> Path | None:
    """Return the file of the leaderboard of a plan's jobs."""
    own = plan.suite.name, plan.budget, plan.suite.version
    names = [board.name for board in published.boards if (board.suite, board.budget, board.version) == own]
    return folder / f"{names[0]}.csv" if names else None


def run_jobs(plan: Plan, folders: Folders, settings: LaunchSettings, console: Console) -> Outcome:
    """Run all jobs of a plan that have no result yet, and return the record of each.

    Raises:
        UsageError: the output folder cannot be written or is in use, or more devices are asked for than there are.
        DeviceError: torch cannot compute on the GPUs of the run.
    """
    launcher = launcher_of(plan, settings)
    directories = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    if not all(map(is_known_to_be_done, directories)):
        launcher.check()
    make_writable(folders.output, "--output")
    with alone(folders.output, console, join=settings.join):
        waiting = prepare(plan, directories, folders, settings)
        options = worker_options(plan, folders, settings.options)
        if launcher.on_cluster:
            options = options.on_a_cluster()
        todo = admit(
            waiting, plan.files, folders.output, {**options.environment(), **launcher.check_environment}, console
        )
        if todo:
            console.print(f"{len(todo)} job{'s' * (len(todo) != 1)} to run, {launcher.pace}", soft_wrap=True)
            say_if_scans_are_slow(launcher.check_environment, console)
        display = Display(Observer(directories, plan.jobs), console, launcher.at_a_time)
        with display.open():
            last_words = launcher.run(todo, options, display.refresh, partial(console.print, soft_wrap=True))
    return Outcome(plan, list(records_of(directories, plan.jobs, last_words)), len(todo), [])


def say_if_scans_are_slow(environment: Mapping[str, str], console: Console) -> None:
    """Print why no C can be compiled here, if so: only the logs of workers would say it.

    Args:
        environment: variables of the workers on this machine; on a GPU they need no compiler.
        console: where to print.
    """
    if not environment.get("CUDA_VISIBLE_DEVICES") and (why := why_not_compiled()):
        console.print(f"scans take their steps in Python, several times slower: {why}", soft_wrap=True)


def update_leaderboards(folders: Folders, records: Iterable[Record]) -> Published:
    """Add the records of a run to those in the folder of the leaderboards, and write the tables.

    Raises:
        BusyError: another process holds the leaderboards for too long; the message says how to update them later.
        OSError: the file system still fails after some time, with an error that may pass.
        UsageError: the folder of the leaderboards cannot be written.
    """
    found = [stored(JobDirectory.of(folders.output, record.job), record) for record in records]
    again = update_command(folders.output, folders.leaderboards)
    return wait_out(lambda: bring_up_to_date(folders.leaderboards, lambda standing: found, again=again))
