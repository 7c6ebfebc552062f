"""The local launcher: a pool of subprocesses, one a slot, each pinned before it imports torch."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.environment import KEEP_BUFFERS, RUNNER_VARIABLE
from asrnn_bench.running.launchers.slots import Slot

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class _Child:
    directory: JobDirectory
    process: subprocess.Popen[bytes]
    log: Path


def run_local(
    directories: Iterable[JobDirectory],
    slots: Sequence[Slot],
    environment: dict[str, str],
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run the worker on every directory, as many at a time as there are slots, and return when all have ended.

    One thread does it all, because a worker ends with the thread that started it. An interrupt ends the workers
    and is raised again.

    Args:
        directories: the jobs, in the order in which they start.
        slots: where they run.
        environment: what the workers get beside this process's own environment and their slot's.
        watch: called a few times a second.
    """
    waiting = deque(directories)
    free = list(reversed(slots))
    running: list[tuple[Slot, _Child]] = []
    shared = {**KEEP_BUFFERS, **os.environ, **environment, RUNNER_VARIABLE: str(os.getpid())}
    try:
        while waiting or running:
            while waiting and free:
                child = _start(waiting.popleft(), {**shared, **dict(free[-1].environment)})
                if child is not None:
                    running.append((free.pop(), child))
            time.sleep(POLL_SECONDS)
            for slot, child in [pair for pair in running if pair[1].process.poll() is not None]:
                running.remove((slot, child))
                free.append(slot)
                _ended(child)
            watch()
    finally:
        _end([child for _, child in running])


def _start(directory: JobDirectory, environment: dict[str, str]) -> _Child | None:
    """Start a worker; where that cannot be done, the job has failed and the others go on."""
    # The log holds what is printed before an attempt has its own: an interpreter that cannot start, say.
    log = directory.path / f"launch-{os.getpid()}.log"
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                # -P: what happens to lie in the folder where the run was started is no part of a job.
                [sys.executable, "-P", "-m", "asrnn_bench.worker", str(directory.path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,  # an interrupt from the keyboard is for the runner, which ends its workers in order
            )
    except OSError as error:
        with suppress(OSError):
            directory.skip("failed", f"the worker could not be started: {error}")
        return None
    return _Child(directory, process, log)


def _ended(child: _Child) -> None:
    """Note how a child ended where it could not say so itself."""
    said = _clear(child)
    if child.directory.is_done():
        return
    code = child.process.returncode
    attempt = next((a for a in reversed(child.directory.attempts()) if a.belongs_to(child.process.pid)), None)
    with suppress(OSError):
        if attempt is None:
            last = said.splitlines()[-1] if said else "no message"
            child.directory.skip("failed", f"the worker did not start (exit status {code}): {last[:300]}")
        elif code < 0:
            attempt.write_end(code, f"ended by signal {-code}{_meaning(-code)}")
        else:
            attempt.write_end(code, f"ended with exit status {code} and no result")


def _clear(child: _Child) -> str:
    """End what a model's code started and left behind, and return what was printed outside of any attempt."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)
    said = child.log.read_text(encoding="utf-8", errors="replace").strip() if child.log.exists() else ""
    child.log.unlink(missing_ok=True)
    return said


def _meaning(number: int) -> str:
    return " (killed; Linux does so when memory runs out)" if number == signal.SIGKILL else ""


def _end(children: list[_Child]) -> None:
    """End what still runs, as an interrupt and not as a failure: ask first, then insist."""
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        _clear(child)
        with suppress(OSError):
            if not child.directory.is_done():
                child.directory.wait()
