from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY

from asrnn_bench import job_records, runner
from asrnn_bench.files import disk_errors
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
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


@pytest.fixture
def plan(tiny_suite: Path) -> Plan:
    """The three jobs of the tiny suite."""
    return make_plan(load_suite(str(tiny_suite)), Request())


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Folders of a run, which do not exist yet."""
    return Folders(tmp_path / "runs", tmp_path / "leaderboards")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which a run waits for a file server; the test itself does not wait."""
    waited: list[float] = []

    def wait_out(call: Callable[[], Any], seconds: float | None = None) -> Any:
        return disk_errors.wait_out(call, seconds, waited.append)

    for module in (job_records, runner):
        monkeypatch.setattr(module, "wait_out", wait_out)
    return waited
