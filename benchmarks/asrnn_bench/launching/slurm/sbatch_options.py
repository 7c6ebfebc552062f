"""Read the options of sbatch that a user gives, such as ``--slurm-option partition=gpu``, and check their GPUs."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from asrnn.errors import UsageError
from asrnn_bench.machine.gpus import count_gpus
from asrnn_bench.planning.values import CONSTANTS

FLAG = "--slurm-option"

SET_BY_RUN = {
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
"""Options of sbatch that the run sets itself, and what a user does instead."""

VARIABLE_PREFIX = "SBATCH_"
"""The prefix of the environment variables from which sbatch reads options."""

_OTHERWISE_NAMED = {"array_inx": "array", "debug": "verbose", "mem_per_node": "mem", "timelimit": "time"}

GPU_KEYS = (
    *("gpus", "gpus_per_node", "gpus_per_socket", "gpus_per_task", "gres"),
    *("tres_per_job", "tres_per_node", "tres_per_socket", "tres_per_task"),
)
"""Options of sbatch that can ask for GPUs. ``exclusive`` does so as well: it gives a job whole nodes."""

MEMORY_KEYS = ("mem", "mem_per_cpu", "mem_per_gpu")
READ_FROM_ENVIRONMENT = (*GPU_KEYS, *MEMORY_KEYS, "exclusive", "time")
"""Options that the run itself depends on, and therefore reads from the environment of the user too."""

DEFAULT_MEMORY_GIB = 4
"""Memory of each process of a job. A job without a memory option would get the whole memory of its node."""

NOTICE_SECONDS = 120
"""How long before its time limit a job is warned, unless the limit is short."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_GPUS = re.compile(r"(?:[^:,=]+[:=])?(?P<count>\d+)")
"""A number of GPUs, with or without their type: ``2``, ``a100:2``."""

_GRES = re.compile(r"(?:gres[:/])?gpu(?::[^:=]*[^:=\d][^:=]*)?(?:[:=](?P<count>\d+))?")
"""A number of GPUs in a list of resources: ``gpu``, ``gpu:2``, ``gpu:a100:2``, ``gres/gpu:2``, ``gres/gpu=2``."""

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<fields>\d+(?::\d+){0,2})")


@dataclass(frozen=True)
class SbatchOptions:
    """Options of sbatch by their long names, with underscores. An option without a value has the value ``""``."""

    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """Read ``key=value`` words.

        Raises:
            UsageError: a word is malformed, or its option is set by the run itself.
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
            if key in SET_BY_RUN:
                raise UsageError(f"{FLAG} {key} is set by the run itself: {SET_BY_RUN[key]}")
            if key in found:
                raise UsageError(f"{FLAG} {key} is given twice, as '{found[key]}' and '{value}'")
            found[key] = value
        if len(memory := [key for key in MEMORY_KEYS if key in found]) > 1:
            raise UsageError(f"{FLAG} {' and '.join(memory)} exclude each other: give one")
        if not found.get("array_parallelism", "1").isdecimal() or found.get("array_parallelism") == "0":
            raise UsageError(f"{FLAG} array_parallelism takes a whole number of at least 1")
        return cls(found)

    def with_environment(self, variables: Mapping[str, str]) -> Self:
        """Return these options, completed with those that the user's environment sets for every sbatch.

        In sbatch, such a variable overrides the batch script.
        """
        found = {option_of(name): value for name, value in variables.items() if name.startswith(VARIABLE_PREFIX)}
        taken = {key: found[key] for key in READ_FROM_ENVIRONMENT if found.get(key)}
        if "exclusive" in found:
            taken["exclusive"] = found["exclusive"] if found["exclusive"] in ("user", "mcs", "topo") else ""
        for keys in (GPU_KEYS, MEMORY_KEYS):
            if any(key in self.options for key in keys):
                taken = {key: value for key, value in taken.items() if key not in keys}
        return type(self)(taken | self.options)

    @property
    def asks_for_gpus(self) -> bool:
        """Whether GPUs are asked for by number. ``exclusive`` is not counted: the nodes may have none."""
        return any(_count(key, value, 1) != 0 for key, value in self.options.items() if key in GPU_KEYS)

    def gpus_per_node(self, nodes: int) -> int | None:
        """Return how many GPUs a job gets on each node; ``None`` if the number depends on the node.

        Args:
            nodes: how many nodes a job runs on.
        """
        counts = [_count(key, value, nodes) for key, value in self.options.items() if key in GPU_KEYS]
        if None in counts or ("exclusive" in self.options and not any(counts)):
            return None
        return max(filter(None, counts), default=0)

    def check_gpus(self, devices: int, nodes: int) -> None:
        """Check that a job uses exactly the GPUs that it asks for.

        Args:
            devices: how many devices a job uses on each node.
            nodes: how many nodes a job runs on.

        Raises:
            UsageError: it asks for more or fewer.
        """
        for key in ("gpus_per_task", "tres_per_task"):
            if nodes > 1 and key in self.options and _count(key, self.options[key], nodes):
                raise UsageError(f"{FLAG} {key} hides a node's GPUs from each other's processes: ask for them by node")
        given = self.gpus_per_node(nodes)
        if given and given != devices:
            raise UsageError(
                f"{FLAG} asks for {count_gpus(given)} on each node of a job, which uses {devices}: ask for "
                f"gpus_per_node={devices}, or give --devices-per-job {given}"
            )

    def notice_seconds(self) -> int:
        """Return how long before its time limit a job is warned: a quarter of the limit, at most two minutes."""
        limit = limit_seconds(self.options.get("time", ""))
        return int(max(1, min(NOTICE_SECONDS, limit / 4)))


def option_of(variable: str) -> str:
    """Return the option of sbatch that an environment variable sets.

    >>> option_of("SBATCH_TIMELIMIT"), option_of("SBATCH_GPUS_PER_NODE")
    ('time', 'gpus_per_node')
    """
    name = variable.removeprefix(VARIABLE_PREFIX).lower()
    return _OTHERWISE_NAMED.get(name, name)


def _count(key: str, value: str, nodes: int) -> int | None:
    """Return how many GPUs one option asks for on each node; ``None`` if that depends on the node."""
    total = 0
    for word in value.split(","):
        matched = (_GPUS if key.startswith("gpus") else _GRES).fullmatch(word.strip())
        if matched is not None:
            total += int(matched["count"] or 1)
    if key.endswith("_per_socket") and total:
        return None
    return -(-total // nodes) if key in ("gpus", "tres_per_job") else total


def limit_seconds(text: str) -> float:
    """Return a time limit of Slurm in seconds; infinity if the text is no time, such as ``UNLIMITED``.

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
