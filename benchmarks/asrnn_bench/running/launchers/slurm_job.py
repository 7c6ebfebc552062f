"""A job in Slurm: what follows when the queue no longer has it."""

from contextlib import suppress
from dataclasses import dataclass

from asrnn_bench.running.attempts import End, Kind
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.slurm_commands import Seen, Task
from asrnn_bench.running.policy import decide

MISSES_BEFORE_LOST = 2
"""What ended a moment ago may not be seen in its directory yet, on a network's file system."""

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

    def submitted(self, task: Task) -> None:
        """Take a place in Slurm."""
        self.task, self.misses = task, 0
        self.attempts = len(self.directory.attempts())

    def is_missing(self, seen: Seen | None) -> bool:
        """Return whether the queue has not had the job for long enough."""
        self.misses = self.misses + 1 if seen is None or seen.is_over else 0
        return self.misses >= MISSES_BEFORE_LOST

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

    def _has_tried(self, kind: Kind, reason: str) -> bool:
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


def _kind(seen: Seen | None) -> Kind:
    """Return what Slurm's word for an end means for an attempt that could not say so itself."""
    if seen is not None and seen.state == "OUT_OF_MEMORY":
        return "out-of-memory"
    return "killed" if seen is not None and seen.its_own_fault else "preempted"
