"""Count the cores and the memory that jobs may use, within the limits of a container."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from asrnn_bench.machine.control_groups import Limits, read_limits

JOB_BYTES = int(1.2 * 2**30)
"""Memory of one worker: torch, Lightning and the data took 1.1 GiB in the published records."""


@dataclass(frozen=True)
class Capacity:
    """What this process may use of its machine.

    Args:
        cores: the numbers of the logical cores, where one of each physical core comes first.
        physical: the number of physical cores.
        memory: the machine's memory, in bytes.
        limits: the limits of a container or an allocation around this process.
    """

    cores: tuple[int, ...]
    physical: int
    memory: int
    limits: Limits

    @property
    def usual_cores(self) -> int:
        """How many cores a run takes by default: the physical ones, because two jobs would share arithmetic units."""
        allowed = self.physical if self.limits.cpus is None else min(self.physical, int(self.limits.cpus))
        return max(1, allowed)

    @property
    def is_shared(self) -> bool:
        """Whether a limit of processor time applies, which does not say which cores this process gets."""
        return self.limits.cpus is not None and self.limits.cpus < len(self.cores)

    @property
    def processes(self) -> int:
        """How many workers fit into the memory."""
        return max(1, min(self.memory, self.limits.memory or self.memory) // JOB_BYTES)

    def words(self) -> str:
        """Return the capacity in words, as a part of a sentence."""
        cores = f"{self.physical} core{'s' * (self.physical != 1)}"
        if len(self.cores) > self.physical:
            cores += f" ({len(self.cores)} with hyper-threads)"
        text = f"{cores} and {self.memory / 2**30:.1f} GiB of memory"
        limits = [f"{self.limits.cpus:g} CPUs"] if self.limits.cpus is not None and self.is_shared else []
        if self.limits.memory is not None and self.limits.memory < self.memory:
            limits.append(f"{self.limits.memory / 2**30:.1f} GiB")
        return f"{text}, of which this process may use {' and '.join(limits)}" if limits else text


def find_capacity(root: Path = Path("/")) -> Capacity:
    """Return what this process may use.

    Args:
        root: the folder that holds ``proc`` and ``sys``; tests use another one.
    """
    siblings: dict[str, list[int]] = {}
    for core in available_cores():
        siblings.setdefault(_physical_core(core, root), []).append(core)
    turns = [
        group[turn]
        for turn in range(max(map(len, siblings.values())))
        for group in siblings.values()
        if turn < len(group)
    ]
    limits = tightest(read_limits(root), allocated(os.environ))
    return Capacity(tuple(turns), len(siblings), psutil.virtual_memory().total, limits)


def allocated(variables: Mapping[str, str]) -> Limits:
    """Return what Slurm gave the job around this process on its node; not every cluster enforces it."""
    cpus, memory, memory_per_cpu = (
        int(text) if (text := variables.get(f"SLURM_{name}", "")).isdecimal() else 0
        for name in ("CPUS_ON_NODE", "MEM_PER_NODE", "MEM_PER_CPU")
    )
    return Limits(float(cpus) or None, (memory or memory_per_cpu * cpus) << 20 or None)


def tightest(*limits: Limits) -> Limits:
    """Return the smallest of several limits."""
    cpus = [each.cpus for each in limits if each.cpus is not None]
    memory = [each.memory for each in limits if each.memory is not None]
    return Limits(min(cpus, default=None), min(memory, default=None))


def available_cores() -> list[int]:
    """Return the logical cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def _physical_core(core: int, root: Path) -> str:
    """Return a name of a core's physical core."""
    try:
        file = root / f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return str(core)
