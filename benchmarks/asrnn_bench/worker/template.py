"""Import torch once, and fork a worker for each request, which saves the seconds of an import.

``supervising/forked.py`` starts this process, writes a line of JSON to its standard input for each worker, and reads
lines of JSON from its standard output. ``{"job": n, "directory": ..., "environment": {...}, "log": ...}`` is answered
by ``{"job": n, "pid": p}`` and, at its end, by ``{"job": n, "code": c}``. The process ends when its input does. It must
never use a GPU, because CUDA does not survive a fork.
"""

import atexit
import json
import os
import select
import signal
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from asrnn_bench.jobs.ends import EX_MEMORY
from asrnn_bench.jobs.handover import RUNNER_VARIABLE, STOP_SIGNALS, end_with_parent
from asrnn_bench.worker import main as worker

IGNORED = (*STOP_SIGNALS, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Serve requests until the input ends; in a forked child, return the exit status of its worker."""
    end_with_parent()
    for number in IGNORED:  # a signal to the whole group is for the workers, which end with this process
        signal.signal(number, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # the output of libraries is no answer
    import asrnn_bench.worker.training  # noqa: F401 - takes seconds, and is the same for every job

    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    jobs: dict[int, int] = {}
    own = os.getpid()
    unread = b""
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 1 << 12)
            _tell_ends(answers, jobs)
        if 0 not in ready:
            continue
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return 0
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # a signal now waits until the child handles it
            try:
                pid = os.fork()
            except OSError:  # there is no memory or no process number left
                signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
                _tell(answers, {"job": request["job"], "code": EX_MEMORY})
                continue
            if pid == 0:
                return _become_worker(request, own)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
            with suppress(OSError):  # the child does so too, and either may be first
                os.setpgid(pid, pid)
            jobs[pid] = request["job"]
            _tell(answers, {"job": request["job"], "pid": pid})


def _become_worker(request: dict[str, Any], template: int) -> int:
    """Give this forked child the state of a worker that was started by itself, and run its job."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    os.environ[RUNNER_VARIABLE] = str(template)
    end_with_parent()
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ[RUNNER_VARIABLE] = str(template)
    roots = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [root for root in roots if root and root not in sys.path]  # as a new interpreter would
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    _forget_exit_handlers()
    return worker.main([str(Path(request["directory"]))])


def _forget_exit_handlers() -> None:
    """Drop the exit handlers of libraries, such as the removal of temporary folders: they are for the template."""
    atexit._clear()
    for inherited in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        inherited.atexit = False
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]


def _tell_ends(answers: int, jobs: dict[int, int]) -> None:
    while jobs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _tell(answers, {"job": jobs.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def _tell(answers: int, event: dict[str, int]) -> None:
    os.write(answers, json.dumps(event, allow_nan=False).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
