"""The door that every launcher knocks at: ``python -m asrnn_bench.worker JOBDIR``.

Exit status: 0 the job has its result (this process made it or found it), 2 no job directory, 65 the model or the data
are damaged or wrong, 66 there are no data, 70 an exception, 71 out of memory, 143 ended by SIGTERM. The reason stands
in the attempt's ``exit.json``.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from asrnn.errors import AsrnnError, MissingDataError, UsageError
from asrnn_bench.records import Job
from asrnn_bench.running.attempts import EX_NO_INPUT, EX_TERMINATED, Attempt
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.environment import CORES_VARIABLE, WORKER_VARIABLE
from asrnn_bench.running.launchers.parents import end_with_parent

EX_USAGE, EX_DATA, EX_SOFTWARE, EX_MEMORY = 2, 65, 70, 71


def main(arguments: list[str] | None = None) -> int:
    """Run one job and return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1:
        sys.stderr.write("usage: python -m asrnn_bench.worker JOBDIR\n")
        return EX_USAGE
    directory = JobDirectory(Path(words[0]))
    if directory.is_done():
        return 0
    try:
        job = directory.job()
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return EX_USAGE
    end_with_parent()
    _pin()
    os.environ[WORKER_VARIABLE] = str(directory.path)
    attempt = directory.claim()
    _end_on_sigterm(attempt)
    _log_to(attempt.path / "worker.log")
    status, reason = _attempt(directory, job, attempt)
    attempt.write_end(status, reason)
    if reason:
        sys.stderr.write(reason + "\n")
    return status


def _attempt(directory: JobDirectory, job: Job, attempt: Attempt) -> tuple[int, str | None]:
    """Try the job; every way it can fail becomes an exit status and a line that says why."""
    try:
        # Imported here: torch reads the number of threads and the pinning that were set above.
        from asrnn_bench.running.training import prepare_torch, train

        prepare_torch(job.threads)
        data_dir = os.environ.get("ASRNN_DATA_DIR")
        directory.publish(train(directory, attempt, Path(data_dir) if data_dir else None), attempt)
    except MissingDataError as error:
        return EX_NO_INPUT, str(error)
    except AsrnnError as error:
        traceback.print_exc()  # for the log: the reason is one line, and a model's author wants all of them
        return EX_DATA, str(error)
    except MemoryError:
        return EX_MEMORY, "out of memory"
    except Exception as error:  # whatever a model does, the job ends with a reason and the suite goes on
        traceback.print_exc()
        if type(error).__name__ == "OutOfMemoryError":
            return EX_MEMORY, f"out of memory: {_first_line(error)}"
        return EX_SOFTWARE, f"{type(error).__name__}: {_first_line(error)}"
    return 0, None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no message")[:300]


def _end_on_sigterm(attempt: Attempt) -> None:
    """End at once when asked to; left to itself, Lightning ends the process with exit status 0 and no result."""

    def end(number: int, frame: FrameType | None) -> None:
        attempt.write_end(EX_TERMINATED, "ended by SIGTERM")
        os._exit(EX_TERMINATED)

    signal.signal(signal.SIGTERM, end)


def _log_to(path: Path) -> None:
    """Send all that this process prints, torch's C++ included, to the attempt's own log."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def _pin() -> None:
    """Keep to the cores that the launcher gave, before torch makes its threads."""
    cores = os.environ.get(CORES_VARIABLE)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


if __name__ == "__main__":
    sys.exit(main())
