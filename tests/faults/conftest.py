import shutil
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY, done
from fault_support import PROGRESS, Bench, outcome, plan_jobs, suite_text, write

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job
from asrnn_bench.supervising.forked import Template


@pytest.fixture
def bench(template: Template) -> Bench:
    return Bench(template)


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A training of seconds, with dropout and a schedule."""
    return plan_jobs(tmp_path_factory.mktemp("suite"), suite_text(200))[-1]


@pytest.fixture(scope="session")
def undisturbed(job: Job, template: Template, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of it when nobody kills anything."""
    directory = write(tmp_path_factory.mktemp("undisturbed"), job)
    Bench(template).run(directory, Options(loggers=()))
    return outcome(directory)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """The six jobs of the tiny suite with two seeds."""
    return plan_jobs(tmp_path, TINY, seeds=[0, 1])


@pytest.fixture
def runs(tmp_path: Path, jobs: list[Job]) -> Path:
    """A run of six jobs, all of which are done."""
    for job in jobs:
        directory = JobDirectory.of(tmp_path / "runs", job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    return tmp_path / "runs"


@pytest.fixture
def at_work(tmp_path: Path, jobs: list[Job]) -> JobDirectory:
    """A job that this process has in hand, and has made some progress with."""
    directory = JobDirectory.of(tmp_path / "runs", jobs[2])
    shutil.rmtree(directory.path, ignore_errors=True)
    directory.write_job(jobs[2])
    directory.claim()
    directory.write_progress(PROGRESS)
    return directory
