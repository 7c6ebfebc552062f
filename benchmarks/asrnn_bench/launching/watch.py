"""Where jobs run: a launcher starts supervisors on job directories and knows nothing else of a job."""

import math
from typing import Literal, Protocol

Launcher = Literal["local", "ray", "slurm"]


class Watch(Protocol):
    """What a launcher calls a few times a second, so that people see how its jobs stand."""

    def __call__(self, stopping: str = "", /) -> None:
        """Show it.

        Args:
            stopping: what the launcher waits for before it ends, once it was asked to.
        """


def unwatched(stopping: str = "") -> None:
    """Show nothing."""


def saving(jobs: int, seconds: float) -> str:
    """Say what a launcher waits for that was asked to end: jobs that have so many seconds to save."""
    many = f"{jobs} job{'s' if jobs > 1 else ''}"
    return f"saving {many}, up to {max(0, math.ceil(seconds))} s; interrupt again to end at once"
