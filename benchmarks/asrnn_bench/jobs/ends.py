"""What follows when an attempt has ended: the job goes on now, in a later run, or not until somebody asks for it.

A pure function of the attempts' ends, which stand in the job directory: whoever looks, after whatever was killed, comes
to the same verdict.
"""

from collections import Counter
from collections.abc import Sequence
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
"""How an attempt can end; :func:`decide` says what follows."""

EX_DATA, EX_NO_INPUT, EX_NOT_STARTED, EX_SOFTWARE, EX_MEMORY, EX_DISK = 65, 66, 69, 70, 71, 72
EX_NO_SPACE, EX_PREEMPTED, EX_SUPERSEDED = 74, 75, 76

KIND_OF_EXIT_STATUS: dict[int, EndKind] = {
    EX_DATA: "damaged",
    EX_NO_INPUT: "no-data",
    EX_NOT_STARTED: "not-started",
    EX_SOFTWARE: "exception",
    EX_MEMORY: "out-of-memory",
    EX_DISK: "disk",
    EX_NO_SPACE: "no-space",
    EX_PREEMPTED: "preempted",
    EX_SUPERSEDED: "superseded",
}
"""What a worker's exit status says; 0 means done only where there is a result."""

LARGEST_AMOUNT = 10**15
"""Steps or seconds; what claims to be more is damaged."""


@dataclass(frozen=True)
class End:
    """How an attempt ended, the step up to which its work is saved, and the seconds that it took."""

    returncode: int
    kind: EndKind
    reason: str
    saved_step: int = 0
    seconds: float = 0.0


Verdict = Literal["again", "later", "never"]
"""``again``: start the next attempt now; ``later``: in the next run; ``never``: not until ``--retry-failed``."""

MOST_PREEMPTIONS = 100
"""How often a job is preempted without getting any further before it counts as failed."""

HANG_RETRIES = 1

DISK_RETRIES = 6
"""How often a job whose disk failed is tried again in one run without getting any further."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 300.0
"""Before such a try; each pause is three times the one before, so that they sum up to nine minutes."""

LATER: tuple[EndKind, ...] = ("no-data", "no-space", "not-started", "superseded")
"""What a person mends outside of the job, so that the next run finds out, or what another process has in hand."""


def decide(ends: Sequence[End], retries: int) -> Verdict:
    """Return what follows from the attempts that count, the first one first.

    Only what happened since the job last got further counts: a job of a week may be killed every night.

    Args:
        ends: how the attempts ended since the job was last started afresh.
        retries: how often a job that was killed is tried again.
    """
    if not ends:
        return "again"
    last = ends[-1].kind
    if last in LATER:
        return "later"
    counted = _since_it_got_further(ends)
    if last == "disk":
        return "again" if counted["disk"] <= DISK_RETRIES else "later"
    allowed: dict[EndKind, int] = {
        "preempted": MOST_PREEMPTIONS,
        "done": MOST_PREEMPTIONS,  # somebody deleted a result that was damaged
        "killed": retries,
        "no-result": retries,
        "hang": min(HANG_RETRIES, retries),
    }
    return "again" if counted[last] <= allowed.get(last, 0) else "never"


def pause_after(ends: Sequence[End]) -> float:
    """Return the seconds to wait before the next attempt: a disk that failed gets time to come back."""
    if not ends or ends[-1].kind != "disk":
        return 0.0
    return min(FIRST_PAUSE_SECONDS * 3.0 ** (_since_it_got_further(ends)["disk"] - 1), LONGEST_PAUSE_SECONDS)


def _since_it_got_further(ends: Sequence[End]) -> Counter[EndKind]:
    furthest, counted = 0, Counter[EndKind]()
    for end in ends:
        if end.saved_step > furthest:
            furthest = end.saved_step
            counted.clear()
        counted[end.kind] += 1
    return counted
