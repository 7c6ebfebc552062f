from pathlib import Path

import pytest

from asrnn_bench.records import Job
from asrnn_bench.running.job_directory import JobDirectory


@pytest.fixture
def directories(tmp_path: Path, jobs: list[Job]) -> list[JobDirectory]:
    """Five jobs that a runner has made ready."""
    found = [JobDirectory.of(tmp_path / "runs", job) for job in jobs[:5]]
    for directory, job in zip(found, jobs, strict=False):
        directory.write_job(job)
        directory.wait()
    return found
