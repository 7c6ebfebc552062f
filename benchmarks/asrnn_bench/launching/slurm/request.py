"""What a user asks of Slurm beside what the jobs themselves need: ``--slurm-option partition=gpu``."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from asrnn.errors import UsageError
from asrnn_bench.machine.gpus import count_gpus
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

VARIABLES = "SBATCH_"
"""What the names of variables begin with by which sbatch takes options."""

_OTHERWISE_NAMED = {"array_inx": "array", "debug": "verbose", "mem_per_node": "mem", "timelimit": "time"}

GPU_KEYS = (
    *("gpus", "gpus_per_node", "gpus_per_socket", "gpus_per_task", "gres"),
    *("tres_per_job", "tres_per_node", "tres_per_socket", "tres_per_task"),
)
"""Options of sbatch that can ask for GPUs; ``exclusive`` gives a job all of its nodes, with their GPUs."""

MEMORY_KEYS = ("mem", "mem_per_cpu", "mem_per_gpu")
TRANSLATED = (*GPU_KEYS, *MEMORY_KEYS, "exclusive", "time")
"""Options that the run reasons about, so that it has to know of them wherever they were said."""

DEFAULT_MEMORY_GIB = 4
"""For each process of a job. Without any, Slurm gives a job the node's whole memory, and so the node."""

NOTICE_SECONDS = 120
"""How long before its time limit a job is told, where the limit is long enough."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_GPUS = re.compile(r"(?:[^:,=]+[:=])?(?P<count>\d+)")
"""A number of GPUs, of any type or of one: ``2``, ``a100:2``."""

_GRES = re.compile(r"(?:gres[:/])?gpu(?::[^:=]*[^:=\d][^:=]*)?(?:[:=](?P<count>\d+))?")
"""The same among other resources: ``gpu``, ``gpu:2``, ``gpu:a100:2``, ``gres/gpu:2``, ``gres/gpu=2``."""

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

    def with_defaults(self, variables: Mapping[str, str]) -> Self:
        """Return the request with what the user's environment asks of every sbatch, where the request says nothing.

        sbatch lets such a variable win over the script of a job, and so over what a run asks for.
        """
        found = {option_of(name): value for name, value in variables.items() if name.startswith(VARIABLES)}
        taken = {key: found[key] for key in TRANSLATED if found.get(key)}
        if "exclusive" in found:
            taken["exclusive"] = found["exclusive"] if found["exclusive"] in ("user", "mcs", "topo") else ""
        for keys in (GPU_KEYS, MEMORY_KEYS):
            if any(key in self.options for key in keys):
                taken = {key: value for key, value in taken.items() if key not in keys}
        return type(self)(taken | self.options)

    @property
    def asks_for_gpus(self) -> bool:
        """Whether a job is promised GPUs; ``exclusive`` promises whatever its nodes have."""
        return any(_count(key, value, 1) != 0 for key, value in self.options.items() if key in GPU_KEYS)

    def gpus_per_node(self, nodes: int) -> int | None:
        """Return how many GPUs are asked for on each node of a job, ``None`` for an unknown number of them.

        Args:
            nodes: the nodes of a job.
        """
        counts = [_count(key, value, nodes) for key, value in self.options.items() if key in GPU_KEYS]
        if None in counts or ("exclusive" in self.options and not any(counts)):
            return None
        return max(filter(None, counts), default=0)

    def check_gpus(self, devices: int, nodes: int) -> None:
        """See that a job uses as many GPUs as it is given.

        Args:
            devices: how many devices a job uses on each node.
            nodes: the nodes of a job.

        Raises:
            UsageError: it is given more or fewer.
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
        """Return how long before its time limit a job is told: a quarter of the limit, and two minutes at most."""
        limit = limit_seconds(self.options.get("time", ""))
        return int(max(1, min(NOTICE_SECONDS, limit / 4)))


def option_of(variable: str) -> str:
    """Return the option of sbatch that a variable stands for.

    >>> option_of("SBATCH_TIMELIMIT"), option_of("SBATCH_GPUS_PER_NODE")
    ('time', 'gpus_per_node')
    """
    name = variable.removeprefix(VARIABLES).lower()
    return _OTHERWISE_NAMED.get(name, name)


def _count(key: str, value: str, nodes: int) -> int | None:
    """Return the GPUs on each node that one option asks for; ``None`` where it depends on the node."""
    total = 0
    for word in value.split(","):
        matched = (_GPUS if key.startswith("gpus") else _GRES).fullmatch(word.strip())
        if matched is not None:
            total += int(matched["count"] or 1)
    if key.endswith("_per_socket") and total:
        return None
    return -(-total // nodes) if key in ("gpus", "tres_per_job") else total


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
