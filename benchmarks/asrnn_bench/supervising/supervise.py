"""Run one job until it is settled, in the foreground, as Slurm and Ray tasks do."""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.files.writing import is_there
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_PREEMPTED
from asrnn_bench.jobs.handover import STOP_SIGNALS
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.processes import Child, Start
from asrnn_bench.supervising.supervisor import LOOK_SECONDS, Supervisor

POLL_SECONDS = 0.1


def _say_in_log(line: str) -> None:
    sys.stderr.write(line + "\n")


def supervise(
    path: str,
    options: Options,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = _say_in_log,
    start: Start = Child,
) -> int:
    """Run one job until it is settled or this process is asked to stop; return 0 or 75.

    A settled job has a result or has failed for good; its directory says which.

    Args:
        path: the job directory.
        options: how to run it.
        environment: variables of the worker beside those of this process.
        say: takes a line that could not be written to the job directory; by default it goes to standard error.
        start: starts each process of an attempt.

    Raises:
        UsageError: there is no job in ``path``.
    """
    directory = JobDirectory(Path(path))
    if not wait_out(lambda: is_there(directory.path / "job.json")):
        raise UsageError(f"{path} is no job directory on this host: jobs and workers need a shared file system")
    supervisor = Supervisor(directory, options, start)
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (*STOP_SIGNALS, signal.SIGINT)}
    try:
        _keep_going(supervisor, environment or {}, asked)
    except BaseException:
        supervisor.kill()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if supervisor.last_words:
        say(supervisor.last_words)
    if not asked:
        return 0
    settled = wait_out(lambda: directory.is_done() or directory.is_given_up(options.retries))
    return 0 if settled else EX_PREEMPTED


def _keep_going(supervisor: Supervisor, place: Mapping[str, str], asked: list[int]) -> None:
    """Run a job until it is settled, or until its worker has ended after a signal."""
    while (started := supervisor.start(place)) != "over" and not (started == "held" and asked):
        while started == "started" and supervisor.watch():
            if asked:
                supervisor.stop()
            time.sleep(POLL_SECONDS)
        if started == "held":
            time.sleep(LOOK_SECONDS)
        elif not supervisor.is_held():
            break
