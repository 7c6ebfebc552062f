"""What a user asks of Slurm beside what the jobs themselves need: ``--slurm-option partition=gpu``."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from asrnn.errors import UsageError
from asrnn_bench.planning.values import CONSTANTS

FLAG = "--slurm-option"

OURS = {
    "array": "array_parallelism=N says how many jobs run at a time",
    "clusters": "log in to that cluster and start the run there",
    "chdir": "jobs do not depend on the folder where they run",
    "job_name": "jobs are found again by the name that the run gives them",
    "nodes": "--nodes-per-job says it",
    "ntasks": "--devices-per-job says it",
    "ntasks_per_node": "--devices-per-job says it",
    "signal": "it follows from time",
    "test_only": "--dry-run shows what would be submitted",
    **dict.fromkeys(("error", "output", "open_mode"), "each attempt has its log in its job directory"),
    **dict.fromkeys(("no_requeue", "requeue"), "a job that was preempted always goes on"),
    **dict.fromkeys(("parsable", "quiet", "verbose", "wait", "wrap"), "the run reads what sbatch says"),
}
"""Options of sbatch that the run sets itself, each with what a user does instead."""

MEMORY_KEYS = ("mem", "mem_per_cpu", "mem_per_gpu")
DEFAULT_MEMORY_GIB = 4
"""For each process of a job. Without any, Slurm gives a job the node's whole memory, and so the node."""

NOTICE_SECONDS = 120
"""How long before its time limit a job is told, where the limit is long enough."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<fields>\d+(?::\d+){0,2})")


@dataclass(frozen=True)
class SlurmRequest:
    """Options of sbatch, by their names with underscores; a value of ``""`` is an option that takes none."""

    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """Read ``key=value`` words.

        Raises:
            UsageError: one of them is no such word, or its key is the run's own.
        """
        found: dict[str, str] = {}
        for word in words:
            key, _, value = word.partition("=")
            key, value = key.strip().lstrip("-").replace("-", "_"), value.strip()
            if not _KEY.fullmatch(key):
                raise UsageError(f"{FLAG} takes key=value, such as partition=gpu or time=120; found '{word!r:.80}'")
            if not value.isprintable():
                raise UsageError(f"{FLAG} {key}: its value must be one line of plain text")
            if value in CONSTANTS:
                raise UsageError(
                    f"{FLAG} {key}={value}: sbatch knows no such value; an option that takes none is {FLAG} {key}, and "
                    "one that is not wanted is left out"
                )
            if key in OURS:
                raise UsageError(f"{FLAG} {key} is set by the run itself: {OURS[key]}")
            if key in found:
                raise UsageError(f"{FLAG} {key} is given twice, as '{found[key]}' and '{value}'")
            found[key] = value
        if len(memory := [key for key in MEMORY_KEYS if key in found]) > 1:
            raise UsageError(f"{FLAG} {' and '.join(memory)} exclude each other: give one")
        if not found.get("array_parallelism", "1").isdecimal() or found.get("array_parallelism") == "0":
            raise UsageError(f"{FLAG} array_parallelism takes a whole number of at least 1")
        return cls(found)

    @property
    def asks_for_gpus(self) -> bool:
        """Whether a job gets GPUs; one that does not must not see those of its node either."""
        return any(key.startswith("gpu") or key in ("gres", "tres_per_node", "exclusive") for key in self.options)

    def notice_seconds(self) -> int:
        """Return how long before its time limit a job is told: a quarter of the limit, and two minutes at most."""
        limit = limit_seconds(self.options.get("time", ""))
        return int(max(1, min(NOTICE_SECONDS, limit / 4)))


def limit_seconds(text: str) -> float:
    """Return the seconds of a time as Slurm writes it; infinity where it is none, or there is no limit.

    >>> limit_seconds("90"), limit_seconds("1:30:00"), limit_seconds("1-12")
    (5400.0, 5400.0, 129600.0)
    """
    matched = _TIME.fullmatch(text)
    if matched is None:
        return math.inf
    fields = [int(number) for number in matched["fields"].split(":")]
    if matched["days"] is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = [*fields, 0, 0][:3]
        return 86400.0 * int(matched["days"]) + 3600 * hours + 60 * minutes + seconds
    hours, minutes, seconds = {1: [0, *fields, 0], 2: [0, *fields], 3: fields}[len(fields)]
    return 3600.0 * hours + 60 * minutes + seconds
