"""The processes of an attempt, as their supervisor starts, sees and ends them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
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
        """Kill it with all that it started, without waiting: :meth:`poll` tells when it is gone.

        A process that waits for a file server or a driver, or whose control group is frozen, is not gone until that
        lets go of it.
        """


@runtime_checkable
class Numbered(Protocol):
    """A process that this host knows by a number."""

    @property
    def host_pid(self) -> int | None:
        """Its number, or that of the process that is about to start it."""


Start = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""How a worker is started: its command, its environment, and the file that it prints into."""


class Child:
    """A process of its own program, which ends with this one."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, RUNNER_VARIABLE: str(os.getpid())},
                process_group=0,  # an interrupt from the keyboard is for the runner, which ends its workers in order
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
        """Kill it with all that it started, without waiting."""
        kill_tree(self._process.pid, ended=self._process.poll() is not None)


def kill_tree(pid: int, *, ended: bool) -> None:
    """Kill a process with all that it started, also what left its group.

    Args:
        pid: its number, which is its group's too.
        ended: it has ended, so that its number may be another's by now; only its group is left.
    """
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        found = [] if ended else psutil.Process(pid).children(recursive=True)
    for kill in (os.killpg,) if ended else (os.killpg, os.kill):  # just forked, it leads no group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    for child in found:
        with suppress(psutil.Error):
            child.kill()


def processor_seconds(process: Process) -> float:
    """Return the processor time that a process has taken so far; 0 for one that this host cannot ask about."""
    pid = process.host_pid if isinstance(process, Numbered) else None
    if pid is None:
        return 0.0
    try:
        taken = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(taken.user + taken.system)


def describe(process: Process) -> str:
    """Return a process's number and what Linux says that it does, for people."""
    pid = process.host_pid if isinstance(process, Numbered) else None
    if pid is None:
        return "a process without a number"
    with suppress(psutil.Error):
        return f"process {pid} (state: {psutil.Process(pid).status()})"
    return f"process {pid}"


def worker_words(directory: Path) -> list[str]:
    """Return the command of the worker."""
    # -P: what happens to lie in the folder where the run was started is no part of a job.
    return [sys.executable, "-P", "-m", "asrnn_bench.worker", str(directory)]


def free_port() -> int:
    """Return a port of this host that nobody listens on.

    It lies below those that Linux hands out by itself (32768 and up): one of them would be free now and, in the seconds
    before a rank listens there, go to the next process that asks for any, such as ``srun``.

    Raises:
        OSError: none was found.
    """
    for _ in range(100):
        port = 20000 + secrets.randbelow(12768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("", port))
            return port
    raise OSError("no free port between 20000 and 32767 was found for the ranks of a job")
