"""Decide what follows when an attempt at a job has ended: :data:`RULES` has a row for each kind of end.

What follows depends only on how the attempts ended, which is in the job directory. So every process that asks, after
whatever was killed, gets the same answer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

EndKind = Literal[
    "done",
    "preempted",
    "killed",
    "out-of-memory",
    "hang",
    "exception",
    "no-data",
    "damaged",
    "time-limit",
    "no-space",
    "disk",
    "superseded",
    "no-result",
    "not-started",
]
"""How an attempt can end."""

EX_DATA, EX_NO_INPUT, EX_NOT_STARTED, EX_SOFTWARE, EX_MEMORY, EX_DISK = 65, 66, 69, 70, 71, 72
EX_NO_SPACE, EX_PREEMPTED, EX_SUPERSEDED = 74, 75, 76

Verdict = Literal["again", "later", "never"]
"""``again``: start the next attempt now; ``later``: in the next run; ``never``: not until ``--retry-failed``."""


@dataclass(frozen=True)
class Rule:
    """What follows from one kind of end.

    Args:
        exit_status: the exit status by which a worker reports such an end; None if only its supervisor can know it.
        again: how often a job that ended so is started again in the same run, without progress in between: a number, or
            a function of ``--retries``.
        then: what follows after that.
        shows: the state that ``asrnn-bench status`` shows for a job whose last attempt ended so.
        pause_seconds: the pause before the first new attempt. Each further pause is three times as long.
    """

    exit_status: int | None = None
    again: int | Callable[[int], int] = 0
    then: Literal["later", "never"] = "never"
    shows: Literal["waiting", "failed", "no-data"] = "failed"
    pause_seconds: float = 0.0


RULES: dict[EndKind, Rule] = {
    "done": Rule(again=100, shows="waiting"),  # and no result: somebody deleted it, as it was damaged
    "preempted": Rule(EX_PREEMPTED, again=100, shows="waiting"),
    "killed": Rule(again=lambda retries: retries),
    "no-result": Rule(again=lambda retries: retries),
    "hang": Rule(again=lambda retries: min(1, retries)),
    "disk": Rule(EX_DISK, again=6, then="later", pause_seconds=2.0),  # the pauses add up to nine minutes
    # Findings about the job, which another try would only repeat.
    "exception": Rule(EX_SOFTWARE),
    "damaged": Rule(EX_DATA),
    "out-of-memory": Rule(EX_MEMORY),
    "time-limit": Rule(),
    # Faults that a person mends outside of the job. The next run finds out.
    "no-data": Rule(EX_NO_INPUT, then="later", shows="no-data"),
    "no-space": Rule(EX_NO_SPACE, then="later"),
    "not-started": Rule(EX_NOT_STARTED, then="later"),
    # Another process has the job.
    "superseded": Rule(EX_SUPERSEDED, then="later", shows="waiting"),
}

LONGEST_PAUSE_SECONDS = 300.0

KIND_OF_EXIT_STATUS: dict[int, EndKind] = {
    rule.exit_status: kind for kind, rule in RULES.items() if rule.exit_status is not None
}
"""What a worker's exit status says; 0 means done only if there is a result."""

LARGEST_AMOUNT = 10**15
"""Steps or seconds; a file that says more is damaged."""


@dataclass(frozen=True)
class End:
    """How an attempt ended, the step up to which its work is saved, and the seconds that it took."""

    returncode: int
    kind: EndKind
    reason: str
    saved_step: int = 0
    seconds: float = 0.0


def decide(ends: Sequence[End], retries: int) -> Verdict:
    """Return what follows from the attempts that count.

    Only the ends since the job last made progress count, as a job of a week may be killed every night.

    Args:
        ends: how the attempts ended, the first one first, since the last ``--retry-failed``.
        retries: the number of ``--retries``.
    """
    if not ends:
        return "again"
    rule = RULES[ends[-1].kind]
    allowed = rule.again(retries) if callable(rule.again) else rule.again
    return "again" if _times_without_progress(ends) <= allowed else rule.then


def pause_after(ends: Sequence[End]) -> float:
    """Return the seconds to wait before the next attempt."""
    first = RULES[ends[-1].kind].pause_seconds if ends else 0.0
    return min(first * 3.0 ** (_times_without_progress(ends) - 1), LONGEST_PAUSE_SECONDS) if first else 0.0


def _times_without_progress(ends: Sequence[End]) -> int:
    """Return how often the job ended as it did last, since its saved step last grew."""
    furthest, counted = 0, Counter[EndKind]()
    for end in ends:
        if end.saved_step > furthest:
            furthest = end.saved_step
            counted.clear()
        counted[end.kind] += 1
    return counted[ends[-1].kind]
