"""Costs are averaged only where they can be compared."""

from typing import Any

import pytest
from bench_support import done

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import frame, rows
from asrnn_bench.results.markdown import board_markdown

COSTS = ("step_ms", "step_cpu_ms", "train_seconds", "peak_memory_mib")


def seeds(job: Job, *environments: dict[str, Any], backends: tuple[str, ...] = ()) -> list[Record]:
    found = []
    for seed, environment in enumerate(environments):
        record = done(job.model_copy(update={"seed": seed}), 0.5, seconds=0.1 * (1 + seed))
        backend = backends[seed] if backends else record.scan_backend
        known = {**record.environment, **environment}
        found.append(record.model_copy(update={"environment": known, "scan_backend": backend}))
    return found


def test_seeds_that_ran_alike_are_averaged(jobs: list[Job]) -> None:
    alike = {"slots": 2, "jobs_per_device": 1, "processes": 1}
    (row,) = rows(seeds(jobs[4], alike, alike, {"slots": 2, "jobs_per_device": 1}))
    assert row["step_ms"] == row["step_cpu_ms"] == pytest.approx(200)
    assert (row["train_seconds"], row["peak_memory_mib"]) == (25.0, 900.0)
    assert (row["processes"], row["slots"], row["jobs_per_device"]) == ("1", "2", "1")


@pytest.mark.parametrize(
    ("other", "column", "listed"),
    [
        ({"cpu": "another"}, "machine", "a processor; another"),
        ({"accelerator": "a GPU"}, "machine", "a GPU; a processor"),
        ({"processes": 2}, "processes", "1; 2"),
        ({"slots": 8}, "slots", "2; 8"),
        ({"jobs_per_device": 3}, "jobs_per_device", "1; 3"),
    ],
)
def test_seeds_that_ran_otherwise_are_not(jobs: list[Job], other: dict[str, Any], column: str, listed: str) -> None:
    here = {"slots": 2, "jobs_per_device": 1}
    (row,) = rows(seeds(jobs[4], here, here | other))
    assert [row[name] for name in COSTS] == [None] * 4
    assert row[column] == listed
    assert row["mean"] == 0.5
    assert frame(seeds(jobs[4], here, here | other))[list(COSTS)].isna().all().all()


@pytest.mark.parametrize(("schema", "count", "is_known"), [(4, 2, False), (4, 1, True), (3, 2, True)])
def test_unknown_places_are_not_taken_for_equal(jobs: list[Job], schema: int, count: int, is_known: bool) -> None:
    cluster = {"slots": None, "jobs_per_device": None}
    found = [each.model_copy(update={"schema_version": schema}) for each in seeds(jobs[4], *[cluster] * count)]
    (row,) = rows(found)
    assert [row[name] is not None for name in COSTS] == [is_known] * 4


def test_two_scan_back_ends_are_not_averaged(jobs: list[Job]) -> None:
    (row,) = rows(seeds(jobs[4], {"slots": 2}, {"slots": 2}, backends=("compiled", "loop")))
    assert [row[name] for name in COSTS] == [None] * 4
    assert row["scan_backend"] == "compiled; loop"


def test_the_processor_time_of_a_step_stands_beside_its_time(jobs: list[Job]) -> None:
    record = done(jobs[4], 0.5, seconds=0.4)
    assert record.cost is not None
    record = record.model_copy(update={"cost": record.cost.model_copy(update={"step_cpu_seconds": 0.123})})
    (row,) = rows([record])
    assert (row["step_ms"], row["step_cpu_ms"]) == pytest.approx((400, 123))
    assert "| 400 | 123 |" in board_markdown(boards([record])[0])
