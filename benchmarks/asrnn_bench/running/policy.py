"""What follows when an attempt has ended: the job goes on now, in a later run, or not until somebody asks for it.

A pure function of the attempts' ends, which stand in the job directory: whoever looks, after whatever was killed, comes
to the same verdict.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from asrnn_bench.running.attempts import End, Kind

Verdict = Literal["again", "later", "never"]
"""``again``: start the next attempt now; ``later``: in the next run; ``never``: not until ``--retry-failed``."""

MOST_PREEMPTIONS = 100
"""How often a job is preempted without getting any further before it counts as failed."""

HANG_RETRIES = 1

LATER: tuple[Kind, ...] = ("no-data", "no-space", "not-started", "superseded")
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
    allowed: dict[Kind, int] = {
        "preempted": MOST_PREEMPTIONS,
        "done": MOST_PREEMPTIONS,  # somebody deleted a result that was damaged
        "killed": retries,
        "no-result": retries,
        "hang": min(HANG_RETRIES, retries),
    }
    furthest, counted = 0, Counter[Kind]()
    for end in ends:
        if end.saved_step > furthest:
            furthest = end.saved_step
            counted.clear()
        counted[end.kind] += 1
    return "again" if counted[last] <= allowed.get(last, 0) else "never"
