"""Hear requests to stop: signals set a flag, which the training reads between two batches."""

import signal
from types import FrameType
from typing import NoReturn

from asrnn_bench.jobs.handover import STOP_SIGNALS


class PreemptedError(Exception):
    """The attempt was asked to stop; its work is saved."""


class SupersededError(Exception):
    """A later attempt has taken over the job."""


class StopRequest:
    """Tells whether this process was asked to stop. Lightning would end it with status 0 and save nothing."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._listens = False

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.signal is not None

    def listen(self) -> None:
        """Handle the signals; call this from the main thread only."""
        self._listens = True
        for number in (*STOP_SIGNALS, signal.SIGINT):
            signal.signal(number, self._note)

    def listen_again(self) -> None:
        """Handle the signals again, after Lightning has replaced the handlers at the start of a fit or a test."""
        if self._listens:
            self.listen()

    def check(self) -> None:
        """Raise if this process was asked to stop.

        Raises:
            PreemptedError: a signal was received.
        """
        if self.requested:
            self.end()

    def end(self) -> NoReturn:
        """Raise the error that ends the attempt.

        Raises:
            PreemptedError: always.
        """
        by = "another rank" if self.signal is None else signal.Signals(self.signal).name
        raise PreemptedError(f"asked to stop by {by}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
