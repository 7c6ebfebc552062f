"""Job directories are written before a run, and damaged files are mended."""

import pytest
from bench_support import done
from rich.console import Console

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders, prepare
from asrnn_bench.records.record import SCHEMA_VERSION
from asrnn_bench.runner import execute


def test_a_damaged_job_file_is_mended_and_stops_nothing(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    (directory.path / "job.json").write_text("")
    outcome = execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert (outcome.started, outcome.count("done")) == (0, 3)


def test_a_damaged_result_is_put_aside_when_failed_jobs_are_tried_again(plan: Plan, folders: Folders) -> None:
    directories = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    later = (
        done(plan.jobs[1], 0.5).text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99').encode()
    )
    contents = [b"{}", later, directories[2].result_file().read_bytes()]
    for directory, content in zip(directories, contents, strict=True):
        directory.result_file().unlink()
        directory.result_file().write_bytes(content)
    assert prepare(plan, directories, folders, LaunchSettings()) == []
    assert [directory for directory, _ in prepare(plan, directories, folders, LaunchSettings(retry_failed=True))] == [
        directories[0]
    ]
    assert (directories[0].path / "result.json.damaged").read_bytes() == b"{}"
    assert [directory.is_done() for directory in directories] == [False, True, True]
    assert directories[1].result_file().read_bytes() == later
    directories[0].publish(done(plan.jobs[0], 0.75), directories[0].claim())
    directories[0].result_file().unlink()
    directories[0].result_file().write_bytes(b"again")
    prepare(plan, directories, folders, LaunchSettings(retry_failed=True))
    assert (directories[0].path / "result.json.damaged-2").read_bytes() == b"again"
