"""The record of each job is read from its directory, also when a file server fails for a while."""

import errno
import os

import pytest
from bench_support import done
from failing_disk import FailingDisk

from asrnn_bench.cli import invoke
from asrnn_bench.files import disk_errors
from asrnn_bench.job_records import record_of, records_of
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders
from asrnn_bench.records.record import Record


def test_no_record_is_lost_by_one_stale_file_handle(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    stale = [JobDirectory.of(folders.output, plan.jobs[0])]
    look = JobDirectory.result

    def result(self: JobDirectory) -> Record | None:
        if self in stale:
            stale.remove(self)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return look(self)

    monkeypatch.setattr(JobDirectory, "result", result)
    directories = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    assert list(records_of(directories, plan.jobs, {})) == [done(job, 0.5) for job in plan.jobs]
    stale.append(JobDirectory.of(folders.output, plan.jobs[0]))
    assert invoke(["leaderboard", str(folders.output), "--leaderboards", str(folders.leaderboards)]) == 0
    assert "is left out: it cannot be read: Stale file handle" in capfd.readouterr().out
    assert len((folders.leaderboards / "tiny.tiny.csv").read_text().splitlines()) == 3


def test_a_run_waits_for_an_absent_file_server_only_once(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    directories = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job)
    FailingDisk(monkeypatch, folders.output, errno.EIO).failing = True
    records = list(records_of(directories, plan.jobs, {}))
    assert ["cannot be read: Input/output error" in str(record.reason) for record in records] == [True] * len(records)
    assert sum(pauses) == pytest.approx(disk_errors.WAIT_SECONDS)


def test_a_job_that_waits_has_no_record(plan: Plan, folders: Folders) -> None:
    directory = JobDirectory.of(folders.output, plan.jobs[0])
    assert record_of(directory, plan.jobs[0]) is None
    directory.write_job(plan.jobs[0])
    assert record_of(directory, plan.jobs[0]) is None
