"""Print what a run says before it starts and after it has ended."""

import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from asrnn_bench.files.plain_text import plain
from asrnn_bench.job_records import is_known_to_be_done
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders, launcher_of
from asrnn_bench.records.record import Record
from asrnn_bench.results.terminal import terminal_table
from asrnn_bench.runner import Outcome
from asrnn_bench.watching.display import dry_run_table
from asrnn_bench.watching.estimates import known_paces, plan_seconds
from asrnn_bench.watching.words import duration
from asrnn_data.image_sets import IMAGE_SETS, images_present

MOST_SHOWN = 10
"""Jobs that are named after a run; of a thousand that failed for one reason nobody reads all."""


def print_plan(plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> None:
    """Print the jobs of a plan, what is known of their times, and what would be submitted where."""
    launcher = launcher_of(plan, machine)
    paces = known_paces(places.output, plan.jobs)
    here = {name for name in IMAGE_SETS if images_present(name, places.data_dir)}
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    done = [is_known_to_be_done(directory) for directory in directories]
    console.print(dry_run_table(plan.jobs, done, paces, here, console.width))
    todo = [
        (directory, job)
        for directory, job, is_done in zip(directories, plan.jobs, done, strict=True)
        if not is_done and job.task.images in here and _may_start(directory, machine)
    ]
    lacking = {job.task.images for job, is_done in zip(plan.jobs, done, strict=True) if not is_done} - here
    when = (
        _when(plan_seconds([job for _, job in todo], paces, launcher.at_a_time or 1)) if todo else "nothing to wait for"
    )
    one_by_one = ", were it one job after another" if launcher.at_a_time is None and when.startswith("about") else ""
    console.print(f"{len(plan.jobs)} jobs, {len(todo)} to run, {launcher.pace}; time: {when}{one_by_one}")
    for name in sorted(lacking):
        without = sum(job.task.images == name for job in plan.jobs)
        console.print(f"{without} jobs have no data, {name}: asrnn-bench prepare fetches it", soft_wrap=True)
    if todo and (description := launcher.describe([directory for directory, _ in todo], machine.options)):
        console.print(description, soft_wrap=True)


def _when(seconds: float | None) -> str:
    return "unknown: no job of this kind has run here yet" if seconds is None else f"about {duration(seconds)}"


def _may_start(directory: JobDirectory, machine: LaunchSettings) -> bool:
    with suppress(OSError):
        return machine.retry_failed or not directory.is_given_up(machine.options.retries)
    return True


def print_outcome(outcome: Outcome, places: Folders, console: Console) -> None:
    """Print the leaderboard of a run, why jobs have no score, and where to read on."""
    for fault in outcome.faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    if outcome.records:
        lacking = without_data(outcome.records, places)
        console.print(terminal_table(outcome.records, console.width, without_data=lacking), crop=False)
    print_reasons(outcome.records, places, console)
    where = "" if outcome.leaderboard is None else f" Leaderboard: {outcome.leaderboard}"
    console.print(f"{outcome.started} of {len(outcome.plan.jobs)} jobs were started now.{where}", soft_wrap=True)


def print_reasons(records: Sequence[Record], places: Folders, console: Console) -> None:
    """Print why jobs have no score, where the logs of those are that failed, and what tries them again."""
    for reason, labels in _reasons(records).items():
        console.print(f"{_some(labels)}: {reason}", soft_wrap=True)
    failed = [record.job for record in records if record.status == "failed"]
    for job in failed[:MOST_SHOWN]:
        log = _last_log(JobDirectory.of(places.output, job))
        if log is not None:
            console.print(f"log of {job.label}: {log}", soft_wrap=True)
    if len(failed) > MOST_SHOWN:
        console.print(f"and {len(failed) - MOST_SHOWN} more failed: asrnn-bench status {places.output}", soft_wrap=True)
    if failed:
        console.print("the same command with --retry-failed tries failed jobs again, from their checkpoints")


def _last_log(directory: JobDirectory) -> Path | None:
    """Return the log of the last attempt, if there was one and its directory can be read."""
    with suppress(OSError):
        return next((attempt.log for attempt in reversed(directory.attempts())), None)
    return None


def _some(labels: list[str]) -> str:
    """Return the first of many labels, and how many more there are."""
    more = f" and {len(labels) - MOST_SHOWN} more" if len(labels) > MOST_SHOWN else ""
    return ", ".join(labels[:MOST_SHOWN]) + more


def without_data(records: Iterable[Record], places: Folders) -> str | None:
    """Return a line of the tasks without data that can be fetched, and the command; ``None`` where there are none."""
    tasks = dict.fromkeys(record.job.task.name for record in records if _can_be_fetched(record))
    words = ["asrnn-bench", "prepare", *(["--data-dir", str(places.data_dir)] if places.data_dir else [])]
    return f"No data: {', '.join(sorted(tasks))}; {shlex.join(words)} fetches it." if tasks else None


def _can_be_fetched(record: Record) -> bool:
    images = IMAGE_SETS.get(record.job.task.images)
    return record.status == "no-data" and images is not None and images.package is None


def _reasons(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return each reason why jobs have no score, with the jobs it holds for; data are named by their task alone.

    Data that can be fetched have a line of their own.
    """
    reasons: dict[str, dict[str, None]] = {}
    for record in records:
        job = record.job
        if record.reason and not _can_be_fetched(record):
            what = f"no data, {job.task.name}" if record.status == "no-data" else f"{record.status}, {job.label}"
            reasons.setdefault(record.reason, {})[what] = None
    return {reason: list(labels) for reason, labels in reasons.items()}
