"""Define what a launcher calls while it waits, so that people see how its jobs stand."""

import math
from typing import Protocol


class Watch(Protocol):
    """What a launcher calls a few times a second, so that people see how its jobs stand."""

    def __call__(self, stopping: str = "", /) -> None:
        """Show how the jobs stand.

        Args:
            stopping: what the launcher waits for after an interrupt.
        """


def unwatched(stopping: str = "") -> None:
    """Show nothing."""


def saving(jobs: int, seconds: float) -> str:
    """Return the line that says what a launcher waits for after an interrupt.

    Args:
        jobs: how many jobs still save.
        seconds: how long they may take.
    """
    many = f"{jobs} job{'s' if jobs > 1 else ''}"
    return f"saving {many}, up to {max(0, math.ceil(seconds))} s; interrupt again to end at once"
