"""Find the jobs that took more than one attempt, and the reasons."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.watching.observer import JobView, Observer


@dataclass(frozen=True)
class RepeatedAttempts:
    """A job that was started more than once: the number of attempts, and how those without a result ended."""

    view: JobView
    attempts: int
    why: tuple[str, ...]
    """The kind of end of each attempt without a result, in order."""
    last_reason: str | None
    """The reason of the last of these ends."""

    @property
    def line(self) -> str:
        """A line about the job and its attempts."""
        counted = ", ".join(f"{kind}{f' ({count})' if count > 1 else ''}" for kind, count in Counter(self.why).items())
        last = f"; the last: {self.last_reason}" if self.last_reason else ""
        return f"{self.view.job.label}: {self.attempts} attempts: {counted or 'no reason is known'}{last}"


def repeated_attempts(observer: Observer, views: list[JobView]) -> Iterator[RepeatedAttempts]:
    """Yield the jobs that took more than one attempt. Jobs whose first attempt had the result are not read."""
    for directory, view in zip(observer.directories, views, strict=True):
        if view.attempt == 1 or view.attempts in (0, 1):
            continue
        with suppress(OSError):  # a job that cannot be read just now is left out, as this is only shown
            attempts = directory.attempts()
            ends = [end for attempt in attempts if (end := _lost(attempt, view)) is not None]
            if len(attempts) > 1:
                yield RepeatedAttempts(
                    view, len(attempts), tuple(kind for kind, _ in ends), ends[-1][1] if ends else None
                )


def _lost(attempt: Attempt, view: JobView) -> tuple[str, str] | None:
    """Return kind and reason of the end of an attempt; ``None`` where it runs or has the result."""
    end = attempt.ended()
    if attempt.number == view.attempt:
        return None
    if end is None:
        return None if attempt.lives() else ("killed", "it ended without a word")
    return end.kind, end.reason
