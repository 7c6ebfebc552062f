"""Measure how long an attempt has made no progress, by the sequence number in its progress and the observer's clock.

Times that other hosts wrote are never compared, as their clocks may be a day off.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.progress_file import progress_version

LONGEST_GAP_SECONDS = 5.0
"""The clock is read several times a second, so in a longer gap this process was suspended."""


class AwakeClock:
    """A monotonic clock that stands still while this process is suspended.

    ``scontrol suspend``, gang scheduling, ``docker pause`` and SIGSTOP suspend a supervisor together with its worker,
    so that time is no hang. It is detected by a gap between two readings, so all observers of a process share it.

    Args:
        clock: a monotonic clock that includes suspensions; another one in tests.
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
"""The clock of all supervisors in this process."""


class Heartbeat:
    """The time since the last progress of a job.

    Each call costs one ``stat``; the file is read only if it was replaced, because a cluster has a thousand workers.

    Args:
        directory: the job directory.
        clock: a monotonic clock; another one in tests.
        attempt: the attempt; by default the last one, for which a folder is listed.
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
        """Return the seconds since the progress last changed; a file that cannot be read counts as unchanged."""
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
        """Count from now on."""
        self._changed = self.clock()
