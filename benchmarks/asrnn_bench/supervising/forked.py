"""Start workers in tenths of a second, by a fork of a process that has imported torch (``worker/template.py``)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from asrnn_bench.jobs.handover import RUNNER_VARIABLE
from asrnn_bench.supervising.processes import kill_tree

WAIT_SECONDS = 10.0
"""How long a template may take to report the end of a worker that was killed."""

KILLED = -9


class Forked:
    """A worker that a template forked or will fork."""

    def __init__(self, template: "Template") -> None:
        self._template = template
        self.pid: int | None = None
        self.code: int | None = None
        self._asked: list[int] = []
        self._killed_at: float | None = None

    @property
    def host_pid(self) -> int | None:
        """Its number, or that of the template that will fork it."""
        return self.pid or self._template.pid

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; ``None`` while it runs."""
        if self.code is None:
            self._template.read()
        late = self._killed_at is not None and time.monotonic() - self._killed_at > WAIT_SECONDS
        if self.code is None and late and (self.pid is None or _is_gone(self.pid)):
            self._template.give_up()  # the template hangs: it ends, with all workers that it forked
        return self.code

    def ask(self, number: int) -> None:
        """Send it a signal, unless it has ended; one that does not run yet gets it as soon as it does."""
        if self.poll() is not None:
            return
        if self.pid is None:
            self._asked.append(number)
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def runs_as(self, pid: int) -> None:
        """Note its number, and hand on what it was asked before."""
        self.pid = pid
        for number in self._asked:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """Kill it with all processes that it started, and do not wait. No other worker is harmed."""
        over = self.poll() is not None
        if self.pid is not None:
            kill_tree(self.pid, ended=over)
        elif self._killed_at is None:
            self._asked.append(signal.SIGKILL)
        if self._killed_at is None:
            self._killed_at = time.monotonic()


def _is_gone(pid: int) -> bool:
    """Return whether a process has ended, whether or not its parent has asked for its exit status."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


class Template:
    """The process that forks workers. It is started with the first worker, and again if it was killed.

    Args:
        environment: the variables that all workers share, among them those that torch reads when it is imported.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: dict[int, Forked] = {}
        self._count = 0
        self._unread = b""

    @property
    def pid(self) -> int | None:
        """The number of its process; None if there is none."""
        return None if self._process is None else self._process.pid

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        """Start a worker. Of its command, only the last word is used: the job directory.

        Raises:
            OSError: there is no template and none can be started.
        """
        log.touch()
        worker = Forked(self)
        self._count += 1
        request = {"job": self._count, "directory": words[-1], "environment": dict(environment), "log": str(log)}
        self._send(json.dumps(request, allow_nan=False).encode() + b"\n", log)
        self._workers[self._count] = worker
        return worker

    def _send(self, line: bytes, log: Path) -> None:
        for _ in range(2):
            if self._process is None:
                self._process = self._new_process(log)
            assert self._process.stdin is not None  # noqa: S101 - it was asked for
            try:
                _write(self._process.stdin, line)
            except BrokenPipeError:
                self.give_up()
            else:
                return
        raise OSError("the process that starts workers ends at once")

    def _new_process(self, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as complaints:  # of an installation without torch, say
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "asrnn_bench.worker.template"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                bufsize=0,
                env={**self.environment, RUNNER_VARIABLE: str(os.getpid())},
                process_group=0,
            )
        assert process.stdout is not None  # noqa: S101 - it was asked for
        os.set_blocking(process.stdout.fileno(), False)
        self._unread = b""
        return process

    def read(self) -> None:
        """Read what the template reported since the last call."""
        if self._process is None:
            return
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        while (chunk := self._process.stdout.read(1 << 16)) is not None:
            if not chunk:
                self.give_up()
                return
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        worker = self._workers.get(event["job"])
        if worker is None:
            return
        if "pid" in event:
            worker.runs_as(event["pid"])
        else:
            worker.code = event["code"]
            del self._workers[event["job"]]

    def give_up(self) -> None:
        """End the template, and record that all workers that it forked ended with it."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):  # it may be ending by itself and printing the reason
                self._process.wait(1.0)
        code = self._process.poll() if self._process is not None else None
        self.close()
        for worker in self._workers.values():
            if worker.pid is not None:
                kill_tree(worker.pid, ended=False)  # in case the template itself cannot be killed
            worker.code = code or KILLED
        self._workers.clear()

    def close(self) -> None:
        """End the template, and with it all running workers."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that cannot be killed is left behind
                self._process.wait(WAIT_SECONDS)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


def _write(stream: IO[bytes], line: bytes) -> None:
    while line:
        line = line[stream.write(line) or 0 :]
