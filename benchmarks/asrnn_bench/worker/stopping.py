"""A worker that is asked to stop: a flag that signals set, and that training looks at between two batches."""

import signal
from types import FrameType
from typing import NoReturn

from asrnn_bench.jobs.handover import STOP_SIGNALS


class PreemptedError(Exception):
    """The attempt was asked to stop; what it had done is saved."""


class SupersededError(Exception):
    """A later attempt has taken over the job."""


class StopRequest:
    """Whether this process was asked to stop; Lightning would otherwise end it with exit status 0 and nothing saved."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._listens = False

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def listen(self) -> None:
        """Take the signals; from the main thread only."""
        self._listens = True
        for number in (*STOP_SIGNALS, signal.SIGINT):
            signal.signal(number, self._note)

    def listen_again(self) -> None:
        """Take the signals back from Lightning, which takes them whenever its trainer starts something."""
        if self._listens:
            self.listen()

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            PreemptedError: a signal came.
        """
        if self.requested:
            self.end()

    def end(self) -> NoReturn:
        """Stop here.

        Raises:
            PreemptedError: always.
        """
        by = "another rank" if self.signal is None else signal.Signals(self.signal).name
        raise PreemptedError(f"asked to stop by {by}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
