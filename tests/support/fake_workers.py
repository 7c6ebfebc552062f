"""A worker for tests of supervisors, which ends when the test says so."""

import signal

from asrnn_bench.jobs.options import Options

IMPATIENT = Options(look_seconds=0.01, hang_seconds=60.0, grace_seconds=0.05, loggers=())
"""Looks a hundred times a second, and gives a worker no time to save."""


class Worker:
    """A process of a supervisor.

    Args:
        code: its exit status; None while it runs.
        mortal: whether it can be killed.
    """

    def __init__(self, code: int | None = None, *, mortal: bool = True) -> None:
        self.code, self.mortal = code, mortal
        self.asked: list[int] = []
        self.ends = 0

    def poll(self) -> int | None:
        return self.code

    def ask(self, number: int) -> None:
        self.asked.append(number)

    def end(self) -> None:
        self.ends += 1
        if self.code is None and self.mortal:
            self.code = -signal.SIGKILL
