"""What a runner does when something is amiss: nothing is lost, nothing is done twice, and every job has its line."""

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY, call, done
from failing_disk import FailingDisk
from filelock import FileLock
from rich.console import Console

import asrnn_bench
from asrnn.errors import ModelError, UsageError
from asrnn_bench import runner
from asrnn_bench.api import class_reference
from asrnn_bench.cli import invoke
from asrnn_bench.files import disk_errors
from asrnn_bench.files.locking import hold
from asrnn_bench.jobs import ends as policy
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import SCHEMA_VERSION, Record
from asrnn_bench.runner import Folders, execute, prepare, record_of, records_of, update_leaderboards
from asrnn_bench.supervising import commands
from asrnn_bench.supervising.processes import Child


@pytest.fixture
def plan(tiny_suite: Path) -> Plan:
    return make_plan(load_suite(str(tiny_suite)), Request())


@pytest.fixture
def places(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "runs", tmp_path / "leaderboards")


def test_a_second_runner_in_the_same_folder_is_told_who_is_there(plan: Plan, places: Folders) -> None:
    places.output.mkdir()
    (places.output / ".holder").write_text("process 7 on a-host")
    with FileLock(places.output / ".lock"), pytest.raises(UsageError, match="process 7 on a-host runs jobs in"):
        execute(plan, places, LaunchSettings(), Console(quiet=True))


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
            policy.MOST_PREEMPTIONS + 1,
        ),
    ],
)
def test_a_job_that_ends_without_a_result_is_a_failed_row(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch, program: str, reason: str, attempts: int
) -> None:
    monkeypatch.setattr(policy, "MOST_PREEMPTIONS", 2)
    attempts = min(attempts, 3)
    for job in plan.jobs:  # an attempt of an earlier run, whose runner was killed with it
        directory = JobDirectory.of(places.output, job)
        directory.write_job(job)
        claim = directory.claim().path / "claim.json"
        claim.write_text(claim.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    _fake_worker(monkeypatch, program)
    outcome = execute(plan, places, LaunchSettings(options=IN_VAIN), Console(quiet=True))
    assert [(record.status, record.reason) for record in outcome.records] == [("failed", reason)] * 3
    assert "failed" in (places.leaderboards / "tiny.tiny.csv").read_text()
    expected = attempts if program == STOPPED else attempts + 1  # the lost attempt counts as a preemption
    assert {len(JobDirectory.of(places.output, job).attempts()) for job in plan.jobs} == {expected}


def test_a_failed_job_is_left_alone_until_somebody_asks_for_it(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_worker(monkeypatch, "import sys; sys.exit(70)")
    quiet = Console(quiet=True)
    assert [execute(plan, places, LaunchSettings(), quiet).started for _ in range(2)] == [3, 0]
    again = execute(plan, places, LaunchSettings(retry_failed=True), quiet)
    assert (again.started, again.count("failed")) == (3, 3)


@pytest.mark.parametrize("code", [74, 66, 1])
def test_what_is_mended_outside_of_a_job_is_tried_in_the_next_run(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _fake_worker(monkeypatch, f"import sys; sys.exit({code})")
    assert [execute(plan, places, LaunchSettings(), Console(quiet=True)).started for _ in range(2)] == [3, 3]


def test_a_job_that_cannot_be_started_does_not_stop_the_others(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.Template, "start", start)
    outcome = execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert {record.reason for record in outcome.records} == {
        "the worker could not be started: [Errno 28] No space left on device"
    }


def test_a_damaged_job_file_is_mended_and_stops_nothing(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    (directory.path / "job.json").write_text("")
    outcome = execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert (outcome.started, outcome.count("done")) == (0, 3)


def test_a_damaged_result_is_a_failed_row_and_is_not_run_over(plan: Plan, places: Folders) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    (directory.path / "result.json").write_text("{}")
    outcome = execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert (outcome.started, outcome.count("done"), outcome.count("failed")) == (0, 2, 1)
    assert (directory.path / "result.json").read_text() == "{}"


def test_a_damaged_result_is_put_aside_when_failed_jobs_are_tried_again(plan: Plan, places: Folders) -> None:
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
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
    assert prepare(plan, directories, places, LaunchSettings()) == []
    assert [directory for directory, _ in prepare(plan, directories, places, LaunchSettings(retry_failed=True))] == [
        directories[0]
    ]
    assert (directories[0].path / "result.json.damaged").read_bytes() == b"{}"
    assert [directory.is_done() for directory in directories] == [False, True, True]
    assert directories[1].result_file().read_bytes() == later
    directories[0].publish(done(plan.jobs[0], 0.75), directories[0].claim())
    directories[0].result_file().unlink()
    directories[0].result_file().write_bytes(b"again")
    prepare(plan, directories, places, LaunchSettings(retry_failed=True))
    assert (directories[0].path / "result.json.damaged-2").read_bytes() == b"again"


def test_a_run_that_cannot_publish_keeps_its_records_and_says_how_to_publish_later(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrnn_bench.results.publishing.TIMEOUT_SECONDS", 0.1)
    places.leaderboards.mkdir()
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    with hold(places.leaderboards, 0):
        outcome = execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert (outcome.count("done"), outcome.leaderboard) == (3, None)
    (fault,) = outcome.faults
    assert fault.endswith(f"asrnn-bench leaderboard {places.output} --leaderboards {places.leaderboards}")
    assert (
        execute(plan, places, LaunchSettings(), Console(quiet=True)).leaderboard
        == places.leaderboards / "tiny.tiny.csv"
    )


@pytest.mark.parametrize("writer", ["store", "publishing"])
@pytest.mark.parametrize("lasts", [False, True], ids=["passes", "lasts"])
def test_an_error_that_passes_while_the_run_is_published_does_not_end_it(
    writer: str, lasts: bool, plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.1)
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
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
    outcome = execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert failures
    assert outcome.count("done") == 3
    if lasts:
        (fault,) = outcome.faults
        assert "Input/output error" in fault
        assert fault.endswith(f"asrnn-bench leaderboard {places.output} --leaderboards {places.leaderboards}")
    else:
        assert (outcome.faults, outcome.leaderboard) == ([], places.leaderboards / "tiny.tiny.csv")


def test_one_stale_file_handle_costs_no_job_its_record(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for job in plan.jobs:
        directory = JobDirectory.of(places.output, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    stale = [JobDirectory.of(places.output, plan.jobs[0])]
    look = JobDirectory.result

    def result(self: JobDirectory) -> Record | None:
        if self in stale:
            stale.remove(self)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return look(self)

    monkeypatch.setattr(JobDirectory, "result", result)
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    assert list(records_of(directories, plan.jobs, {})) == [done(job, 0.5) for job in plan.jobs]
    stale.append(JobDirectory.of(places.output, plan.jobs[0]))
    assert invoke(["leaderboard", str(places.output), "--leaderboards", str(places.leaderboards)]) == 0
    assert "is left out: it cannot be read: Stale file handle" in capfd.readouterr().out
    assert len((places.leaderboards / "tiny.tiny.csv").read_text().splitlines()) == 3


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited for a file server, without waiting."""
    waited: list[float] = []

    def wait_out(call: Callable[[], Any], seconds: float | None = None) -> Any:
        return disk_errors.wait_out(call, seconds, waited.append)

    monkeypatch.setattr(runner, "wait_out", wait_out)
    return waited


def test_a_file_server_that_is_away_is_waited_for_once(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    for directory, job in zip(directories, plan.jobs, strict=True):
        directory.write_job(job)
    FailingDisk(monkeypatch, places.output, errno.EIO).failing = True
    records = list(records_of(directories, plan.jobs, {}))
    assert ["cannot be read: Input/output error" in str(record.reason) for record in records] == [True] * len(records)
    assert sum(pauses) == pytest.approx(disk_errors.WAIT_SECONDS)


def test_an_interrupted_run_waits_for_no_file_server_and_publishes_no_job_that_it_cannot_read(
    plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    done_one, *others = [JobDirectory.of(places.output, job) for job in plan.jobs]
    for directory, job in zip([done_one, *others], plan.jobs, strict=True):
        directory.write_job(job)
    done_one.publish(done(plan.jobs[0], 0.5), done_one.claim())

    def interrupted(*_: object) -> None:
        for directory in others:
            FailingDisk(monkeypatch, directory.path, errno.EIO).failing = True
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_jobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, places, LaunchSettings(), Console(quiet=True))
    assert sum(pauses) == 0
    assert len((places.leaderboards / "tiny.tiny.csv").read_text().splitlines()) == 2


def test_publishing_twice_changes_no_byte(plan: Plan, places: Folders) -> None:
    places.leaderboards.mkdir()
    records = [done(job, 0.5) for job in plan.jobs]
    update_leaderboards(places, records)
    before = {path: path.read_bytes() for path in places.leaderboards.rglob("*") if path.is_file()}
    update_leaderboards(places, list(reversed(records)))
    assert {path: path.read_bytes() for path in places.leaderboards.rglob("*") if path.is_file()} == before


def test_a_job_that_waits_has_no_record(plan: Plan, places: Folders) -> None:
    directory = JobDirectory.of(places.output, plan.jobs[0])
    assert record_of(directory, plan.jobs[0]) is None
    directory.write_job(plan.jobs[0])
    assert record_of(directory, plan.jobs[0]) is None


@pytest.mark.parametrize(
    "wrong",
    [{"seeds": [-1]}, {"seeds": ["a"]}, {"threads": 0}, {"max_steps": 0}, {"devices": 0}, {"jobs_per_device": 0}],
)
def test_wrong_numbers_from_python_are_one_line(tiny_suite: Path, tmp_path: Path, wrong: dict) -> None:
    folders = {"output": tmp_path / "runs", "leaderboards": tmp_path / "leaderboards"}
    with pytest.raises(UsageError, match="must be"):
        asrnn_bench.run(str(tiny_suite), **folders, **wrong)


def test_a_model_file_that_starts_a_run_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRNN_BENCH_WORKER", "a job directory")
    with pytest.raises(UsageError, match="put it under if __name__ == '__main__':"):
        asrnn_bench.run()


def test_classes_are_found_again_by_file_or_by_module() -> None:
    from torch import nn

    assert class_reference(nn.RNNBase) == "torch.nn.modules.rnn:RNNBase"

    class Local(nn.Module):
        pass

    with pytest.raises(ModelError, match="is not at the top of a file"):
        class_reference(Local)


@pytest.mark.parametrize(
    ("reason", "gpus", "is_said"), [("cc failed", "", True), ("cc failed", "0", False), (None, "", False)]
)
def test_slow_scans_are_said_once_where_people_look(
    reason: str | None, gpus: str, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "why_not_compiled", lambda: reason)
    console = Console(file=io.StringIO(), width=200)
    runner.say_if_scans_are_slow({"CUDA_VISIBLE_DEVICES": gpus}, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("several times slower: cc failed" in said) == is_said


def test_brackets_in_a_reason_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("permuted-mnist", "pixel-cifar10"))
    folder = tmp_path / "[red] data [/x]"
    found = call("--suite", "tiny.toml", "--data-dir", folder, cwd=tmp_path)
    assert found.returncode == 0
    assert "[red] data [/x]" in found.stdout
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOTCONN], ids=os.strerror)
def test_a_directory_that_a_file_server_never_gives_costs_its_own_job_only(
    number: int, plan: Plan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, *others = [JobDirectory.of(places.output, job) for job in plan.jobs]
    by_path = {str(JobDirectory.of(places.output, job).path): job for job in plan.jobs}
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
    outcome = execute(plan, places, LaunchSettings(options=options), Console(quiet=True))
    assert [record.status for record in outcome.records] == ["failed", *["done"] * len(others)]
    assert os.strerror(number) in str(outcome.records[0].reason)
