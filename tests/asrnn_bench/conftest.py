from pathlib import Path

import pytest
from bench_support import TINY

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.job import Job


@pytest.fixture
def tiny_suite(tmp_path: Path) -> Path:
    """A suite file whose jobs take four steps each."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def jobs() -> list[Job]:
    """The jobs of the shipped suite's quick budget, with two seeds."""
    return make_plan(load_suite("long-range"), Request(seeds=[0, 1])).jobs


@pytest.fixture
def directories(tmp_path: Path, jobs: list[Job]) -> list[JobDirectory]:
    """Five jobs that a runner has made ready."""
    found = [JobDirectory.of(tmp_path / "runs", job) for job in jobs[:5]]
    for directory, job in zip(found, jobs, strict=False):
        directory.write_job(job)
        directory.wait()
    return found
