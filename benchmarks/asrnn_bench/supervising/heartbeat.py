"""Whether an attempt moves, seen from outside: by the sequence number of its progress and the observer's own clock.

Times that other hosts wrote are never compared: their clocks may be a day off.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.progress_file import progress_version

LONGEST_GAP_SECONDS = 5.0
"""Whoever watches asks for the time several times a second; a longer gap is one in which this process was stopped."""


class AwakeClock:
    """Seconds that only grow, without those in which this process was suspended.

    ``scontrol suspend``, gang scheduling, ``docker pause`` and SIGSTOP stop a supervisor together with its worker: that
    time is nobody's fault. It is known by a gap between two readings, so everybody who watches shares one clock.

    Args:
        clock: the time, suspensions included; another one in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read, self._away = clock(), 0.0

    def __call__(self) -> float:
        """Return the time."""
        now = self._clock()
        if now - self._read > LONGEST_GAP_SECONDS:
            self._away += now - self._read
        self._read = now
        return now - self._away


AWAKE = AwakeClock()
"""The clock of this process's supervisors."""


class Heartbeat:
    """The pulse of a job directory.

    A look costs one ``stat`` of one file, which is read when it was replaced: a cluster has a thousand workers.

    Args:
        directory: the job's.
        clock: seconds that only grow; another one in tests.
        attempt: the attempt; without it, the last one, for which a folder is listed.
    """

    def __init__(
        self, directory: JobDirectory, clock: Callable[[], float] = AWAKE, attempt: Attempt | None = None
    ) -> None:
        self.directory, self.clock = directory, clock
        self._attempts = None if attempt is None else [attempt]
        self.has_moved = False
        self._version: tuple[int, int] | None = None
        self._last: object = (None, None)
        self._changed = clock()

    def still_for(self) -> float:
        """Return the seconds since this observer last saw the progress change; what cannot be read has not changed."""
        with suppress(OSError):
            version = progress_version(self.directory.path)
            if version != self._version:
                said = self.directory.progress(self._attempts)
                self._version = version
                now = (said.get("attempt"), said.get("seq"))
                if said and now != self._last:
                    self._last, self.has_moved = now, True
                    self.restart()
        return self.clock() - self._changed

    def restart(self) -> None:
        """Count from now on, after another sign of life."""
        self._changed = self.clock()
