"""Whether an attempt moves, seen from outside: by the sequence number of its progress and the observer's own clock.

Times that other hosts wrote are never compared: their clocks may be a day off.
"""

import time
from collections.abc import Callable

from asrnn_bench.running.job_directory import JobDirectory


class Heartbeat:
    """The pulse of a job directory.

    Args:
        directory: the job's.
        clock: seconds that only grow; another one in tests.
    """

    def __init__(self, directory: JobDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory, self.clock = directory, clock
        self._last: object = (None, None)
        self._changed = clock()

    def still_for(self) -> float:
        """Return the seconds since this observer last saw the progress change."""
        said = self.directory.progress()
        now = (said.get("attempt"), said.get("seq"))
        if said and now != self._last:
            self._last, self._changed = now, self.clock()
        return self.clock() - self._changed
