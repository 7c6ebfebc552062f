"""A run loses no result, does nothing twice, and gives every job its row."""

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY, done
from failing_disk import FailingDisk
from filelock import FileLock
from in_process import call_here
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench import runner
from asrnn_bench.files import disk_errors
from asrnn_bench.files.locking import hold
from asrnn_bench.jobs import ends
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute, update_leaderboards
from asrnn_bench.supervising import commands
from asrnn_bench.supervising.forked import Template
from asrnn_bench.supervising.processes import Child


def test_a_second_runner_in_the_same_folder_is_told_who_is_there(plan: Plan, folders: Folders) -> None:
    folders.output.mkdir()
    (folders.output / ".holder").write_text("process 7 on a-host")
    with FileLock(folders.output / ".lock"), pytest.raises(UsageError, match="process 7 on a-host runs jobs in"):
        execute(plan, folders, LaunchSettings(), Console(quiet=True))


def _fake_worker(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let the supervisor start a few lines of Python in the place of the worker."""

    def words(directory: Path) -> list[str]:
        return [sys.executable, "-c", program, str(directory)]

    monkeypatch.setattr(commands, "worker_words", words)
    monkeypatch.setattr(local.Template, "start", lambda self, *given: Child(*given))


ENDED = "import sys, os; os._exit(0)"
KILLED = "import os; os.kill(os.getpid(), 9)"
STOPPED = "import sys; sys.exit(75)"
IN_VAIN = Options(retries=1)


@pytest.mark.parametrize(
    ("program", "reason", "attempts"),
    [
        ("import sys; sys.exit('no such thing')", "the worker did not start (exit status 1): no such thing", 1),
        (ENDED, "ended with exit status 0 and no result", 2),
        (KILLED, "killed by signal 9", 2),
        ("import sys; sys.exit(70)", "ended with exit status 70", 1),
        (
            STOPPED,
            "preempted again and again without getting any further: ended with exit status 75",
            101,
        ),
    ],
)
def test_a_job_that_ends_without_a_result_is_a_failed_row(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch, program: str, reason: str, attempts: int
) -> None:
    monkeypatch.setitem(ends.RULES, "preempted", replace(ends.RULES["preempted"], again=2))
    attempts = min(attempts, 3)
    for job in plan.jobs:  # an attempt of an earlier run, whose runner was killed with it
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        claim = directory.claim().path / "claim.json"
        claim.write_text(claim.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    _fake_worker(monkeypatch, program)
    outcome = execute(plan, folders, LaunchSettings(options=IN_VAIN), Console(quiet=True))
    assert [(record.status, record.reason) for record in outcome.records] == [("failed", reason)] * 3
    assert "failed" in (folders.leaderboards / "tiny.tiny.csv").read_text()
    expected = attempts if program == STOPPED else attempts + 1  # the lost attempt counts as a preemption
    assert {len(JobDirectory.of(folders.output, job).attempts()) for job in plan.jobs} == {expected}


def test_a_failed_job_starts_again_only_with_retry_failed(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_worker(monkeypatch, "import sys; sys.exit(70)")
    quiet = Console(quiet=True)
    assert [execute(plan, folders, LaunchSettings(), quiet).started for _ in range(2)] == [3, 0]
    again = execute(plan, folders, LaunchSettings(retry_failed=True), quiet)
    assert (again.started, again.count("failed")) == (3, 3)


@pytest.mark.parametrize("code", [74, 66, 1])
def test_a_job_that_a_person_can_mend_starts_again_in_the_next_run(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _fake_worker(monkeypatch, f"import sys; sys.exit({code})")
    assert [execute(plan, folders, LaunchSettings(), Console(quiet=True)).started for _ in range(2)] == [3, 3]


def test_a_job_that_cannot_be_started_does_not_stop_the_others(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.Template, "start", start)
    outcome = execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert {record.reason for record in outcome.records} == {
        "the worker could not be started: [Errno 28] No space left on device"
    }


def test_a_damaged_result_is_a_failed_row_and_is_not_overwritten(plan: Plan, folders: Folders) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    (directory.path / "result.json").write_text("{}")
    outcome = execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert (outcome.started, outcome.count("done"), outcome.count("failed")) == (0, 2, 1)
    assert (directory.path / "result.json").read_text() == "{}"


def test_a_run_that_cannot_publish_keeps_its_records_and_says_how_to_publish_later(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrnn_bench.results.publishing.TIMEOUT_SECONDS", 0.1)
    folders.leaderboards.mkdir()
    for job in plan.jobs:
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    with hold(folders.leaderboards, 0):
        outcome = execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert (outcome.count("done"), outcome.leaderboard) == (3, None)
    (fault,) = outcome.faults
    assert fault.endswith(f"asrnn-bench leaderboard {folders.output} --leaderboards {folders.leaderboards}")
    assert (
        execute(plan, folders, LaunchSettings(), Console(quiet=True)).leaderboard
        == folders.leaderboards / "tiny.tiny.csv"
    )


@pytest.mark.parametrize("writer", ["store", "publishing"])
@pytest.mark.parametrize("lasts", [False, True], ids=["passes", "lasts"])
def test_an_error_that_passes_while_the_run_is_published_does_not_end_it(
    writer: str, lasts: bool, plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.1)
    for job in plan.jobs:
        directory = JobDirectory.of(folders.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    module = importlib.import_module(f"asrnn_bench.results.{writer}")
    write, failures = module.replace, []

    def fail(*given: Any, **options: Any) -> None:
        if lasts or not failures:
            failures.append(given)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write(*given, **options)

    monkeypatch.setattr(module, "replace", fail)
    outcome = execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert failures
    assert outcome.count("done") == 3
    if lasts:
        (fault,) = outcome.faults
        assert "Input/output error" in fault
        assert fault.endswith(f"asrnn-bench leaderboard {folders.output} --leaderboards {folders.leaderboards}")
    else:
        assert (outcome.faults, outcome.leaderboard) == ([], folders.leaderboards / "tiny.tiny.csv")


def test_an_interrupted_run_waits_for_no_file_server_and_publishes_no_job_that_it_cannot_read(
    plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    done_one, *others = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    for directory, job in zip([done_one, *others], plan.jobs, strict=True):
        directory.write_job(job)
    done_one.publish(done(plan.jobs[0], 0.5), done_one.claim())

    def interrupted(*_: object) -> None:
        for directory in others:
            FailingDisk(monkeypatch, directory.path, errno.EIO).failing = True
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_jobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, folders, LaunchSettings(), Console(quiet=True))
    assert sum(pauses) == 0
    assert len((folders.leaderboards / "tiny.tiny.csv").read_text().splitlines()) == 2


def test_publishing_twice_changes_no_byte(plan: Plan, folders: Folders) -> None:
    folders.leaderboards.mkdir()
    records = [done(job, 0.5) for job in plan.jobs]
    update_leaderboards(folders, records)
    before = {path: path.read_bytes() for path in folders.leaderboards.rglob("*") if path.is_file()}
    update_leaderboards(folders, list(reversed(records)))
    assert {path: path.read_bytes() for path in folders.leaderboards.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("reason", "gpus", "is_said"), [("cc failed", "", True), ("cc failed", "0", False), (None, "", False)]
)
def test_the_terminal_says_once_that_scans_are_slow(
    reason: str | None, gpus: str, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "why_not_compiled", lambda: reason)
    console = Console(file=io.StringIO(), width=200)
    runner.say_if_scans_are_slow({"CUDA_VISIBLE_DEVICES": gpus}, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("several times slower: cc failed" in said) == is_said


def test_brackets_in_a_reason_are_shown_as_they_are(tmp_path: Path, template: Template) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("permuted-mnist", "pixel-cifar10"))
    folder = tmp_path / "[red] data [/x]"
    found = call_here(template, "--suite", "tiny.toml", "--data-dir", folder, cwd=tmp_path)
    assert found.returncode == 0
    assert "[red] data [/x]" in found.stdout
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOTCONN], ids=os.strerror)
def test_a_directory_that_stays_unreadable_fails_only_its_own_job(
    number: int, plan: Plan, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, *others = [JobDirectory.of(folders.output, job) for job in plan.jobs]
    by_path = {str(JobDirectory.of(folders.output, job).path): job for job in plan.jobs}
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(runner, "admit", lambda waiting, *_: [directory for directory, _ in waiting])

    def start(self: object, words: Sequence[str], *_: object) -> Child:
        directory = JobDirectory(Path(words[-1]))
        directory.publish(done(by_path[str(directory.path)], 0.5), directory.attempts()[-1])
        return Child([sys.executable, "-c", ""], {}, directory.attempts()[-1].log)

    monkeypatch.setattr(local.Template, "start", start)
    disk = FailingDisk(monkeypatch, unlucky.path, number)
    disk.failing = True
    options = Options(hang_seconds=0.5, look_seconds=0.1, loggers=())
    outcome = execute(plan, folders, LaunchSettings(options=options), Console(quiet=True))
    assert [record.status for record in outcome.records] == ["failed", *["done"] * len(others)]
    assert os.strerror(number) in str(outcome.records[0].reason)
