"""Print what came of a run after it has ended."""

import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from asrnn_bench.files.plain_text import plain
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.preparing import Folders
from asrnn_bench.records.record import Record
from asrnn_bench.results.terminal import terminal_table
from asrnn_bench.runner import Outcome
from asrnn_data.image_sets import IMAGE_SETS

MOST_SHOWN = 10
"""The most jobs that are named for one reason, as nobody reads a thousand names."""


def print_outcome(outcome: Outcome, places: Folders, console: Console) -> None:
    """Print the leaderboard of a run, why jobs have no score, and where the leaderboard is written."""
    for fault in outcome.faults:
        console.print(f"warning: {plain(fault)}", soft_wrap=True)
    if outcome.records:
        lacking = without_data(outcome.records, places)
        console.print(terminal_table(outcome.records, console.width, without_data=lacking), crop=False)
    print_reasons(outcome.records, places, console)
    where = "" if outcome.leaderboard is None else f" Leaderboard: {outcome.leaderboard}"
    console.print(f"{outcome.started} of {len(outcome.plan.jobs)} jobs were started now.{where}", soft_wrap=True)


def print_reasons(records: Sequence[Record], places: Folders, console: Console) -> None:
    """Print why jobs have no score, the logs of failed jobs, and the flag that tries failed jobs again."""
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
    """Return the first of many labels, and the number of the others."""
    more = f" and {len(labels) - MOST_SHOWN} more" if len(labels) > MOST_SHOWN else ""
    return ", ".join(labels[:MOST_SHOWN]) + more


def without_data(records: Iterable[Record], places: Folders) -> str | None:
    """Return a line about tasks whose data can be fetched, with the command; ``None`` where there are none."""
    tasks = dict.fromkeys(record.job.task.name for record in records if _can_be_fetched(record))
    words = ["asrnn-bench", "prepare", *(["--data-dir", str(places.data_dir)] if places.data_dir else [])]
    return f"No data: {', '.join(sorted(tasks))}; {shlex.join(words)} fetches it." if tasks else None


def _can_be_fetched(record: Record) -> bool:
    images = IMAGE_SETS.get(record.job.task.images)
    return record.status == "no-data" and images is not None and images.package is None


def _reasons(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return each reason why jobs have no score, with the names of these jobs; missing data are named by the task only.

    Data that can be fetched are left out, as :func:`without_data` names them.
    """
    reasons: dict[str, dict[str, None]] = {}
    for record in records:
        job = record.job
        if record.reason and not _can_be_fetched(record):
            what = f"no data, {job.task.name}" if record.status == "no-data" else f"{record.status}, {job.label}"
            reasons.setdefault(record.reason, {})[what] = None
    return {reason: list(labels) for reason, labels in reasons.items()}
