"""The local launcher: a pool of subprocesses, one a slot, each pinned before it imports torch."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from asrnn_bench.running.job_directory import EX_TERMINATED, JobDirectory, write_exit
from asrnn_bench.running.launchers.slots import Slot

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0


@dataclass
class _Child:
    directory: JobDirectory
    process: subprocess.Popen[bytes]
    log: IO[bytes]


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
    running: dict[int, tuple[Slot, _Child]] = {}
    try:
        while waiting or running:
            while waiting and free:
                slot = free.pop()
                child = _start(waiting.popleft(), {**os.environ, **environment, **dict(slot.environment)})
                running[child.process.pid] = (slot, child)
            time.sleep(POLL_SECONDS)
            for pid, (slot, child) in list(running.items()):
                if child.process.poll() is not None:
                    del running[pid]
                    free.append(slot)
                    _ended(child)
            watch()
    finally:
        _end([child for _, child in running.values()])


def _start(directory: JobDirectory, environment: dict[str, str]) -> _Child:
    # What is printed before the worker has an attempt's log of its own: an interpreter that cannot start, say.
    log = (directory.path / "launch.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "asrnn_bench.worker", str(directory.path)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        process_group=0,  # an interrupt from the keyboard is for the runner, which ends its workers in order
    )
    return _Child(directory, process, log)


def _ended(child: _Child) -> None:
    """Note how an attempt ended where the worker could not say it itself."""
    child.log.close()
    log = child.directory.path / "launch.log"
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    if not said:
        log.unlink()
    code = child.process.returncode
    if child.directory.is_done():
        return
    attempt = child.directory.last_attempt()
    if attempt is None:
        child.directory.skip("failed", f"the worker did not start (exit status {code}): {said[-300:] or 'no message'}")
    elif code < 0:
        write_exit(attempt, {"returncode": code, "reason": f"ended by signal {-code}{_meaning(-code)}"})
    else:
        write_exit(attempt, {"returncode": code, "reason": f"ended with exit status {code} and no result"})


def _meaning(signal: int) -> str:
    return " (killed; Linux does so when memory runs out)" if signal == 9 else ""


def _end(children: list[_Child]) -> None:
    """End what still runs: ask first, then insist."""
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        attempt = child.directory.last_attempt()
        if attempt is not None and not child.directory.is_done():
            write_exit(attempt, {"returncode": EX_TERMINATED, "reason": "interrupted"})
        _ended(child)
