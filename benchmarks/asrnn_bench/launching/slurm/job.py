"""Track one job in Slurm, and decide what follows when the queue no longer lists it."""

import time
from contextlib import suppress
from dataclasses import dataclass

from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End, EndKind, decide
from asrnn_bench.launching.slurm.commands import QueueEntry, Task

MISSES_BEFORE_LOST = 2
"""How many looks in a row must miss a job. A network file system may show the end of a job late."""

SILENT_SECONDS = 60.0
"""How long a started job that the queue does not list must make no progress before it counts as lost."""

BEATS = 3
"""The same time as a number of progress reports; a worker reports 60 times within ``hang_seconds``."""

LATE_SECONDS = 120.0
"""How long a submission may take to appear in the queue if ``sbatch`` got no answer."""

MOST_LOSSES = 5
"""How often in a row Slurm may lose a job that makes no progress in between."""

ENDS = ("done", "diverged", "failed", "no-data")


@dataclass
class SlurmJob:
    """A job that is not settled, with its array task in Slurm; ``task`` is ``None`` until the job is submitted."""

    directory: JobDirectory
    task: Task | None = None
    attempts: int = 0
    misses: int = 0
    losses: int = 0
    saved_step: int = 0
    is_late: bool = False
    unread_since: float | None = None
    _beat: object = None
    _since: float = 0.0

    def count_attempts(self) -> None:
        """Note how many attempts the job has before it is submitted.

        Raises:
            OSError: its directory cannot be read just now.
        """
        self.attempts = len(self.directory.attempts())

    def stays_unread(self, error: OSError, seconds: float) -> bool:
        """Return whether to give up on a directory: its error is permanent, or has lasted longer than ``seconds``.

        Args:
            error: why the directory could not be read now.
            seconds: how long a temporary error may last.
        """
        now = time.monotonic()
        self.unread_since = now if self.unread_since is None else self.unread_since
        return not is_passing(error) or now - self.unread_since > seconds

    def submitted(self, task: Task, *, is_late: bool) -> None:
        """Note that the job was submitted as an array task; ``is_late`` if ``sbatch`` did not confirm it."""
        self.task, self.misses, self.is_late = task, 0, is_late

    def is_lost(self, seen: QueueEntry | None, hang_seconds: float) -> bool:
        """Return whether the queue has not listed the job for so long that it is lost. A job with progress is not lost.

        Args:
            seen: the job in the queue; ``None`` if the queue does not list it.
            hang_seconds: after how long without progress a job counts as hanging.

        Raises:
            OSError: its directory cannot be read just now.
        """
        if seen is not None and not seen.is_over:
            self.misses, self.is_late = 0, False
            return False
        said = self.directory.progress()
        beat = (said.get("attempt"), said.get("seq"))
        if self.misses == 0 or beat != self._beat:
            self.misses, self._beat, self._since = 1, beat, time.monotonic()
            return False
        self.misses += 1
        patience = self._patience(hang_seconds) if seen is None else 0.0
        return self.misses >= MISSES_BEFORE_LOST and time.monotonic() - self._since >= patience

    def _patience(self, hang_seconds: float) -> float:
        """Return how long the queue may not list the job before it counts as lost."""
        attempts = self.directory.attempts()[self.attempts :]
        if attempts and attempts[-1].ended() is None:
            return max(SILENT_SECONDS, BEATS * hang_seconds / 60)
        return LATE_SECONDS if self.is_late else 0.0

    def ended(self, seen: QueueEntry | None, retries: int) -> bool:
        """Record that Slurm no longer has the job, and return whether it is settled; if not, it is submitted again.

        Args:
            seen: the job in the queue; ``None`` if the queue does not list it.
            retries: how often a job that was killed is tried again.
        """
        reason = f"Slurm ended it: {seen.word if seen else 'it no longer knows it'}"
        with suppress(OSError):
            if self._has_tried(_kind(seen), reason) and self._is_over(retries):
                return True
        saved = self.directory.saved_step()
        self.losses = 1 if saved > self.saved_step else self.losses + 1
        self.saved_step, self.task = saved, None
        with suppress(OSError):
            if self.losses > MOST_LOSSES:
                self.directory.skip("failed", f"{reason}, for the {self.losses}th time without getting any further")
            else:
                self.directory.wait(f"submitted again: {reason}")
        return self.losses > MOST_LOSSES

    def _has_tried(self, kind: EndKind, reason: str) -> bool:
        """Return whether an attempt was made. If its supervisor could not record the end of the last one, do so now."""
        attempts = self.directory.attempts()
        if len(attempts) <= self.attempts:
            return False
        if attempts[-1].ended() is None:
            attempts[-1].write_end(End(0, kind, reason, self.directory.saved_step()))
        return True

    def _is_over(self, retries: int) -> bool:
        """Return whether the ends of the attempts settle the job, and write that into its state."""
        ends = self.directory.ends()
        if decide(ends, retries) == "again":
            return False
        state, _ = self.directory.state()
        if state not in ENDS:
            self.directory.skip("failed", ends[-1].reason)
        return True


def _kind(seen: QueueEntry | None) -> EndKind:
    """Return the kind of end for an attempt that recorded none, from the state of the job in Slurm."""
    if seen is not None and seen.state == "OUT_OF_MEMORY":
        return "out-of-memory"
    return "killed" if seen is not None and seen.is_own_failure else "preempted"
