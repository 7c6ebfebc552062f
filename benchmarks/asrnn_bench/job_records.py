"""Read the record of each job of a run from its directory."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.writing import is_there
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Loss, Record, without_result
from asrnn_bench.results.store import StoredRecord


def records_of(
    directories: Iterable[JobDirectory], jobs: Iterable[Job], last_words: Mapping[JobDirectory, str]
) -> Iterator[Record]:
    """Yield the record of each job after the launcher has returned.

    A file server that does not answer is waited for once, and not again for each directory.

    Args:
        directories: the directory of each job.
        jobs: the jobs.
        last_words: the failures that the launcher could not write to a job's directory.
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


def record_of(directory: JobDirectory, job: Job) -> Record | None:
    """Return the record of a job that has ended; ``None`` for one that waits or runs.

    Raises:
        OSError: its directory cannot be read.
    """
    if not is_there(directory.path):
        return None
    try:
        # The result is read again, because it may appear between the first look at it and the look at the state.
        return directory.result() or _record_without_result(directory, job) or directory.result()
    except UsageError as error:
        return without_result(job, "failed", str(error))


def record_now(directory: JobDirectory, job: Job) -> Record | None:
    """Return the record of a job as :func:`record_of` does; ``None`` if its directory cannot be read now."""
    with suppress(OSError):
        return record_of(directory, job)
    return None


def is_known_to_be_done(directory: JobDirectory) -> bool:
    """Return whether a job has its result; false if its directory cannot be read now."""
    with suppress(OSError):
        return directory.is_done()
    return False


def how_it_was_lost(directory: JobDirectory) -> tuple[Loss, str] | None:
    """Return status and reason of a job that has ended without a result; ``None`` for one that waits or runs."""
    state, reason = directory.state_without_result()
    if state == "failed" or state == "no-data":
        return state, plain(reason or "no reason is known")
    return None


def stored(directory: JobDirectory, record: Record) -> StoredRecord:
    """Return a record of a job with the file that holds it; a job without a result has no such file."""
    return StoredRecord(record, directory.result_file() if record.is_result else None)


def _record_without_result(directory: JobDirectory, job: Job) -> Record | None:
    lost = how_it_was_lost(directory)
    return None if lost is None else without_result(job, *lost)
