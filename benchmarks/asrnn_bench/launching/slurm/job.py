"""A job in Slurm: what follows when the queue no longer has it."""

import time
from contextlib import suppress
from dataclasses import dataclass

from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End, EndKind, decide
from asrnn_bench.launching.slurm.commands import Seen, Task

MISSES_BEFORE_LOST = 2
"""What ended a moment ago may not be seen in its directory yet, on a network's file system."""

SILENT_SECONDS = 60.0
"""How long a job that has started must not move before it counts as lost where the queue just does not show it."""

BEATS = 3
"""The same in intervals of its progress, of which there are 60 in the time after which it counts as hanging."""

LATE_SECONDS = 120.0
"""How long the controller has for a submission for which sbatch had no answer."""

MOST_LOSSES = 5
"""How often in a row Slurm may lose a job that does not get any further."""

ENDS = ("done", "diverged", "failed", "no-data")


@dataclass
class SlurmJob:
    """A job that is not settled, and its place in Slurm; ``None`` where it is to be submitted."""

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
        """Note how many attempts there are before the job is submitted.

        Raises:
            OSError: its directory cannot be read just now.
        """
        self.attempts = len(self.directory.attempts())

    def stays_unread(self, error: OSError, seconds: float) -> bool:
        """Return whether its directory cannot be read for a reason that does not pass, or for longer than ``seconds``.

        Args:
            error: what was said of it now.
            seconds: how long an error that passes may last.
        """
        now = time.monotonic()
        self.unread_since = now if self.unread_since is None else self.unread_since
        return not is_passing(error) or now - self.unread_since > seconds

    def submitted(self, task: Task, *, is_late: bool) -> None:
        """Take a place in Slurm; a late one is not in the queue for sure."""
        self.task, self.misses, self.is_late = task, 0, is_late

    def is_missing(self, seen: Seen | None, hang_seconds: float) -> bool:
        """Return whether the queue has not had the job for long enough; one that moves is not missing.

        Args:
            seen: what the queue says of it; ``None`` where it does not show it.
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
        """Return how long the queue may say nothing of the job before that counts."""
        attempts = self.directory.attempts()[self.attempts :]
        if attempts and attempts[-1].ended() is None:
            return max(SILENT_SECONDS, BEATS * hang_seconds / 60)
        return LATE_SECONDS if self.is_late else 0.0

    def ended(self, seen: Seen | None, retries: int) -> bool:
        """Write down that Slurm no longer has the job, and return whether it is settled; if not, it is to be submitted.

        Args:
            seen: what Slurm still knows of it.
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
        """Return whether an attempt was made, and give the last one an end where its supervisor had no time to."""
        attempts = self.directory.attempts()
        if len(attempts) <= self.attempts:
            return False
        if attempts[-1].ended() is None:
            attempts[-1].write_end(End(0, kind, reason, self.directory.saved_step()))
        return True

    def _is_over(self, retries: int) -> bool:
        """Return whether nothing follows from how the attempts ended, which then shows as the job's state."""
        ends = self.directory.ends()
        if decide(ends, retries) == "again":
            return False
        state, _ = self.directory.state()
        if state not in ENDS:
            self.directory.skip("failed", ends[-1].reason)
        return True


def _kind(seen: Seen | None) -> EndKind:
    """Return what Slurm's word for an end means for an attempt that could not say so itself."""
    if seen is not None and seen.state == "OUT_OF_MEMORY":
        return "out-of-memory"
    return "killed" if seen is not None and seen.its_own_fault else "preempted"
