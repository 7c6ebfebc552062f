"""Write the progress of an attempt, with a sequence number, so that observers need not compare clocks."""

import os
import platform
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import LONGEST_START_SECONDS


class Beats:
    """Writes the progress of an attempt, which observers follow.

    Importing torch, reading data and building a model may take minutes on a busy machine or a slow file server. Until
    the training begins, a thread writes that the attempt is starting. A write that fails is left out: progress is for
    display, so its failure ends no training.

    Args:
        directory: the job directory.
        attempt: the number of the attempt.
        max_steps: the optimiser steps of the training.
        interval: seconds between two writes.
        silent: write nothing, as on every rank but the first.
    """

    def __init__(
        self, directory: JobDirectory, attempt: int, max_steps: int, *, interval: float = 1.0, silent: bool = False
    ) -> None:
        self.directory, self.attempt, self.max_steps = directory, attempt, max_steps
        self.interval, self.silent = interval, silent
        self.sequence = 0
        self._step = 0
        self._lock, self._over = Lock(), Event()
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Write at once and at every interval that the attempt is starting, until :meth:`write` is called."""
        self.write("starting", 0)
        if not self.silent:
            self._thread = Thread(target=self._go_on, daemon=True)
            self._thread.start()

    def _go_on(self) -> None:
        waited = 0.0
        while waited < LONGEST_START_SECONDS and not self._over.wait(self.interval):
            waited += self.interval
            self._write("starting", self._step, {})

    def end(self) -> None:
        """Stop the thread; from now on only :meth:`write` writes."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def write(self, phase: str, step: int, **measured: Any) -> None:
        """Write the phase and the step of the attempt.

        Args:
            phase: starting, training, validating or testing.
            step: the optimiser step.
            measured: further values to show.
        """
        self._step = step
        if phase != "starting":
            self.end()
        if not self.silent:
            self._write(phase, step, measured)

    def _write(self, phase: str, step: int, measured: dict[str, Any]) -> None:
        with self._lock, suppress(OSError):
            self.sequence += 1
            said = {"attempt": self.attempt, "host": platform.node(), "pid": os.getpid(), "seq": self.sequence}
            self.directory.write_progress(
                {**said, "phase": phase, "step": step, "max_steps": self.max_steps, **measured}
            )
