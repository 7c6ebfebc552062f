"""Summarise what the seeds of a leaderboard row cost, where their costs can be compared."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.record import Record

OF_THE_MACHINE = ("cpu", "accelerator", "slots", "jobs_per_device")
"""The parts of a record's environment that change how long a step takes: the machine, and how many jobs share it.

``slots`` is the number of jobs that the runner could run at a time. How many did run is not recorded.
"""

TOLD_SINCE = 4
"""The schema since which a record has ``slots``, where the runner knows them."""


def costs(group: Sequence[Record]) -> dict[str, Any]:
    """Return the cost columns of a row: medians over its seeds, the largest memory, and where they were measured.

    Costs can be compared only where all seeds ran on one kind of machine and device, with one scan back end, the same
    number of processes, and a runner with the same number of slots. Otherwise the costs are ``None``, and the columns
    that say where list all values. Unknown values do not count as equal: on a cluster, where the slots are unknown, the
    costs of several seeds are ``None``.

    Args:
        group: the records of the row, including those without a cost.
    """
    counted = [record for record in group if record.cost is not None]
    found = [record.cost for record in counted if record.cost is not None]
    comparable = len({_where(record) for record in counted}) == 1
    steps = [cost.step_seconds for cost in found if cost.step_seconds is not None]
    cpu = [cost.step_cpu_seconds for cost in found if cost.step_cpu_seconds is not None]
    return {
        "step_ms": 1000 * median(steps) if steps and comparable else None,
        "step_cpu_ms": 1000 * median(cpu) if cpu and comparable else None,
        "train_seconds": median(cost.train_seconds for cost in found) if comparable else None,
        "peak_memory_mib": max(cost.peak_memory_mib for cost in found) if comparable else None,
        "scan_backend": _each(record.scan_backend for record in group),
        "machine": _each(record.environment.get("accelerator") or record.environment.get("cpu") for record in group),
        "processes": _each(_processes(record) for record in counted),
        "slots": _each(record.environment.get("slots") for record in group),
        "jobs_per_device": _each(record.environment.get("jobs_per_device") for record in group),
    }


def _where(record: Record) -> tuple[object, ...]:
    told = [record.environment.get(name) for name in OF_THE_MACHINE]
    is_unknown = record.schema_version >= TOLD_SINCE and record.environment.get("slots") is None
    return record.scan_backend, _processes(record), record.key if is_unknown else None, *told


def _processes(record: Record) -> object:
    """Return how many processes trained the job. A record holds the number only where there were several."""
    return record.environment.get("processes", 1)


def _each(values: Any) -> str:
    return "; ".join(sorted({plain(str(value)) for value in values if value is not None}))
