"""Start, observe and kill the processes of an attempt."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

import psutil

from asrnn_bench.jobs.handover import RUNNER_VARIABLE


class Process(Protocol):
    """A process that a supervisor owns."""

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; ``None`` while it runs."""

    def ask(self, number: int) -> None:
        """Send it a signal, unless it has ended."""

    def end(self) -> None:
        """Kill it with all processes that it started; :meth:`poll` says when it is gone.

        A process that waits for a file server or a driver, or whose control group is frozen, goes only when that wait
        is over.
        """


@runtime_checkable
class Numbered(Protocol):
    """A process with a number on this host."""

    @property
    def host_pid(self) -> int | None:
        """Its number, or that of the process that will start it."""


Start = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""Starts a process, given the words of its command, its environment, and the file for its output."""


class Child:
    """A process that runs its own program, and ends when this process ends."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, RUNNER_VARIABLE: str(os.getpid())},
                process_group=0,  # Ctrl-C is for the runner, which ends its workers in order
            )

    @property
    def host_pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; ``None`` while it runs."""
        return self._process.poll()

    def ask(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def end(self) -> None:
        """Kill it with all processes that it started, and do not wait."""
        kill_tree(self._process.pid, ended=self._process.poll() is not None)


def kill_tree(pid: int, *, ended: bool) -> None:
    """Kill a process with all processes that it started, also those that left its group.

    Args:
        pid: its number, which is also the number of its group.
        ended: it has ended, so another process may have its number by now; only its group is killed.
    """
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        found = [] if ended else psutil.Process(pid).children(recursive=True)
    for kill in (os.killpg,) if ended else (os.killpg, os.kill):  # a process that was just forked leads no group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    for child in found:
        with suppress(psutil.Error):
            child.kill()


def processor_seconds(process: Process) -> float:
    """Return the processor time of a process so far, in seconds; 0 if this host does not know it."""
    pid = process.host_pid if isinstance(process, Numbered) else None
    if pid is None:
        return 0.0
    try:
        taken = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(taken.user + taken.system)


def describe(process: Process) -> str:
    """Return the number of a process and its state in Linux, for people."""
    pid = process.host_pid if isinstance(process, Numbered) else None
    if pid is None:
        return "a process without a number"
    with suppress(psutil.Error):
        return f"process {pid} (state: {psutil.Process(pid).status()})"
    return f"process {pid}"
