"""Run one attempt at a job and exit with a status that says how it ended: ``python -m asrnn_bench.worker JOBDIR``.

Exit status: 0 the job has its result (from this process or an earlier one), 2 wrong usage, 65 the model or the data
are damaged or wrong, 66 there are no data, 69 torch does not see the GPUs that were promised, 70 an exception, 71 out
of memory, 72 the disk or its server failed in a way that may pass, 74 the disk is full, 75 asked to stop, with all work
saved, 76 another attempt has taken over. The reason is in ``exit.json`` of the attempt.
"""

import errno
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from asrnn.errors import AsrnnError, DeviceError, MissingDataError, UsageError
from asrnn_bench.files.disk_errors import FULL, is_passing, wait_out
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import (
    EX_DATA,
    EX_DISK,
    EX_MEMORY,
    EX_NO_INPUT,
    EX_NO_SPACE,
    EX_NOT_STARTED,
    EX_PREEMPTED,
    EX_SOFTWARE,
    EX_SUPERSEDED,
    KIND_OF_EXIT_STATUS,
    End,
)
from asrnn_bench.jobs.handover import ATTEMPT_VARIABLE, CORES_VARIABLE, WORKER_VARIABLE, Rank, end_with_parent
from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job
from asrnn_bench.worker.beats import Beats
from asrnn_bench.worker.gpus import require_promised
from asrnn_bench.worker.stopping import PreemptedError, StopRequest, SupersededError

EX_USAGE = 2

FORESEEN: dict[type[Exception], int] = {
    PreemptedError: EX_PREEMPTED,
    SupersededError: EX_SUPERSEDED,
    DeviceError: EX_NOT_STARTED,
    MissingDataError: EX_NO_INPUT,
}
"""The exit statuses of errors that are not the fault of the job."""


def main(arguments: list[str] | None = None) -> int:
    """Run one job and return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1:
        sys.stderr.write("usage: python -m asrnn_bench.worker JOBDIR\n")
        return EX_USAGE
    directory = JobDirectory(Path(words[0]))
    try:
        if wait_out(directory.is_done):
            return 0
        job = wait_out(directory.job)
        options = Options.from_environment()
        rank = Rank.from_environment(options.world_size, options.devices_per_job)
    except (UsageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EX_USAGE
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return EX_DISK
    stop = _become_worker(directory, job, rank)
    given = os.environ.pop(ATTEMPT_VARIABLE, None)
    attempt = directory.attempt(int(given)) if given else _claim(directory)
    if isinstance(attempt, int):
        return attempt
    if given is None:
        with suppress(OSError):
            _log_to(attempt.log)
    began = time.monotonic()
    beats = Beats(directory, attempt.number, job.training.steps, interval=options.look_seconds, silent=rank.number != 0)
    beats.begin()
    try:
        status, reason = _attempt(directory, job, attempt, options, rank, stop, beats)
    finally:
        beats.end()
    if status != 0 or rank.number == 0:
        with suppress(OSError):  # a full disk takes no reason either; the exit status says it
            wait_out(lambda: _write_end(directory, attempt, status, reason, time.monotonic() - began))
    if reason:
        sys.stderr.write(reason + "\n")
    if status == 0 and rank.number == 0:
        directory.clear(keep_checkpoints=options.keep_checkpoints)
    return status


def _claim(directory: JobDirectory) -> Attempt | int:
    """Claim the next attempt, or print why not and return the exit status."""
    try:
        if wait_out(directory.holder) is None:
            return directory.claim()
    except OSError as error:
        status, reason = _failure(error)
        sys.stderr.write(f"{directory.path} cannot be claimed: {reason}\n")
        return status
    sys.stderr.write(f"another process has {directory.path} in hand; wait for it, or end it\n")
    return EX_SUPERSEDED


def _write_end(directory: JobDirectory, attempt: Attempt, status: int, reason: str | None, seconds: float) -> None:
    attempt.write_end(
        End(status, KIND_OF_EXIT_STATUS.get(status, "done"), reason or "", directory.saved_step(), seconds)
    )


def _become_worker(directory: JobDirectory, job: Job, rank: Rank) -> StopRequest:
    """Set up this process before torch is imported, and return the object that hears requests to stop."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        del os.environ[name]  # or Lightning would use the Slurm allocation, and resume what is there
    end_with_parent()
    stop = StopRequest()
    stop.listen()
    _pin(rank, job.threads)
    os.environ[WORKER_VARIABLE] = str(directory.path)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS does not repeat its numbers
    if rank.world_size > 1:  # in Lightning's words: srun has its own
        os.environ.update({"LOCAL_RANK": str(rank.local), "NODE_RANK": str(rank.node)})
    return stop


def _attempt(
    directory: JobDirectory,
    job: Job,
    attempt: Attempt,
    options: Options,
    rank: Rank,
    stop: StopRequest,
    beats: Beats,
) -> tuple[int, str | None]:
    """Train the job, and return the exit status and, after a failure, the reason."""
    try:
        require_promised(rank.local)  # first: a job that was sent to a GPU must not train elsewhere
        # Imported here, because torch reads the number of threads and the pinning that were set above.
        from asrnn_bench.worker.training import prepare_torch, train

        prepare_torch(job.threads)
        stop.check()
        record = train(directory, attempt, options, rank, stop, beats)
        if record is not None:
            wait_out(lambda: directory.publish(record, attempt))
    except (PreemptedError, SupersededError, AsrnnError) as error:
        return _refusal(error)
    except MemoryError:
        return EX_MEMORY, "out of memory"
    except SystemExit as error:
        if stop.requested:  # Lightning handles SIGTERM at some moments, and exits
            return EX_PREEMPTED, "asked to stop while the trainer started"
        traceback.print_exc()
        return EX_SOFTWARE, f"the model's code ended the process, with {error.code!r}"
    except Exception as error:  # whatever a model raises, the job ends with a reason and the suite goes on
        traceback.print_exc()
        return _failure(_passing_cause(error) or error)
    return 0, None


def _refusal(error: Exception) -> tuple[int, str]:
    """Return the exit status and the reason for an expected error, or for a model or data that cannot be used."""
    passing = _passing_cause(error)
    if passing is not None:
        return _failure(passing)
    if type(error) in FORESEEN:
        return FORESEEN[type(error)], str(error)
    traceback.print_exception(error)  # for the log: the reason is only one line
    return EX_DATA, str(error)


def _passing_cause(error: BaseException) -> Exception | None:
    """Return the error of a file system, of a kind that may pass, that caused this error; None if there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and is_passing(seen):
            return seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def _failure(error: Exception) -> tuple[int, str]:
    """Return the exit status and the reason for an unexpected error."""
    text = str(error)
    number = getattr(error, "errno", None)
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text or number == errno.ENOMEM:
        return EX_MEMORY, f"out of memory: {_first_line(text)}"
    if is_passing(error):
        return EX_DISK, f"the disk or its server failed: {_first_line(text)}"
    if number in FULL or "No space left" in text:
        where = getattr(error, "filename", None)
        return EX_NO_SPACE, f"no space left on the disk{f' for {where}' if where else ''}; make room and run again"
    return EX_SOFTWARE, f"{type(error).__name__}: {_first_line(text)}"


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "no message")[:300]


def _log_to(path: Path) -> None:
    """Send the output of this process, that of torch's C++ included, to the log of the attempt."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def _pin(rank: Rank, threads: int) -> None:
    """Pin this rank to its part of the cores that the launcher set, before torch starts threads."""
    cores = [int(core) for core in os.environ.get(CORES_VARIABLE, "").split(",") if core]
    if cores:
        own = cores[rank.local * threads : (rank.local + 1) * threads]
        os.sched_setaffinity(0, own or cores)


if __name__ == "__main__":
    sys.exit(main())
