"""Errors of a file server are waited out; a job that they end gets the kind ``disk`` and is tried again."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from failing_disk import PASSING, FailingDisk

from asrnn.errors import DataError, MissingDataError, ModelError
from asrnn_bench.files import disk_errors
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.writing import is_there, read_object
from asrnn_bench.jobs.checkpoint_files import checkpoint_steps
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_DATA, EX_DISK, EX_NO_INPUT, EX_NO_SPACE, EX_SOFTWARE
from asrnn_bench.jobs.handover import ATTEMPT_VARIABLE
from asrnn_bench.jobs.publication import link_result
from asrnn_bench.records.job import Job
from asrnn_bench.worker import main as worker


def error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_a_call_is_made_again_until_it_does_not_fail() -> None:
    errors, pauses = [error_of(each) for each in PASSING], []

    def call() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert wait_out(call, sleep=pauses.append) == "done"
    assert len(pauses) == len(PASSING)
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_an_error_that_lasts_is_raised_at_once(number: int) -> None:
    def call() -> None:
        raise error_of(number)

    with pytest.raises(OSError, match=os.strerror(number)):
        wait_out(call, sleep=lambda seconds: pytest.fail("it waited"))


def test_an_error_that_does_not_pass_in_time_is_raised() -> None:
    pauses: list[float] = []

    def call() -> None:
        raise error_of(errno.ESTALE)

    with pytest.raises(OSError, match="Stale"):
        wait_out(call, 5.0, sleep=pauses.append)
    assert sum(pauses) == pytest.approx(5.0)


@pytest.mark.parametrize("number", PASSING, ids=os.strerror)
def test_a_file_that_cannot_be_read_just_now_is_not_taken_for_one_that_is_not_there(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch, tmp_path, number)
    assert read_object(tmp_path / "claim.json") == {}
    assert not is_there(tmp_path / "claim.json")
    assert list(checkpoint_steps(tmp_path / "ckpt")) == []
    disk.failing = True
    for look in (read_object, is_there, lambda path: list(checkpoint_steps(path))):
        with pytest.raises(OSError, match=os.strerror(number)):
            look(tmp_path / "claim.json")  # type: ignore[operator]


@pytest.mark.parametrize("number", PASSING, ids=os.strerror)
def test_a_worker_that_ends_by_it_says_disk(number: int) -> None:
    assert is_passing(error_of(number))
    assert worker._failure(error_of(number))[0] == EX_DISK
    for kind in (DataError, MissingDataError, ModelError):
        refused = kind("its files cannot be read")
        refused.__cause__ = error_of(number)
        assert worker._refusal(refused)[0] == EX_DISK


def test_other_errors_stay_what_they_are() -> None:
    assert worker._failure(error_of(errno.ENOSPC))[0] == EX_NO_SPACE
    assert worker._failure(error_of(errno.EDQUOT))[0] == EX_NO_SPACE
    assert worker._failure(error_of(errno.ENOENT))[0] == EX_SOFTWARE
    assert worker._failure(ValueError("no"))[0] == EX_SOFTWARE
    assert worker._refusal(MissingDataError("none"))[0] == EX_NO_INPUT
    assert worker._refusal(ModelError("none"))[0] == EX_DATA


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EDQUOT, errno.ENOSPC])
def test_a_link_that_fails_is_no_reason_for_another_way_to_publish(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "attempts" / "001" / "result.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    link = os.link

    def fail(*_: object, **__: object) -> None:
        raise error_of(number)

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        link_result(own, tmp_path)
    assert not (tmp_path / "result").exists()
    monkeypatch.setattr(os, "link", link)
    assert link_result(own, tmp_path)
    assert not link_result(own, tmp_path)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV])
def test_a_file_system_without_links_has_one(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "attempts" / "001" / "result.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")

    def fail(*_: object, **__: object) -> None:
        raise error_of(number)

    monkeypatch.setattr(os, "link", fail)
    assert link_result(own, tmp_path)
    assert JobDirectory(tmp_path).is_done()


@pytest.mark.parametrize("number", PASSING, ids=os.strerror)
def test_a_plan_is_written_though_the_file_server_fails_for_a_moment(
    number: int, tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = JobDirectory.of(tmp_path, jobs[0])
    failures = dict.fromkeys(("mkdir", "replace", "open"), 1)
    for name in failures:
        monkeypatch.setattr(os, name, _fails_first(getattr(os, name), name, failures, number, str(directory.path)))
    assert directory.write_job(jobs[0])
    assert set(failures.values()) == {0}
    assert directory.job() == jobs[0]


@pytest.mark.parametrize("name", ["holder", "claim"])
@pytest.mark.parametrize(("number", "status"), [(errno.EIO, EX_DISK), (errno.ENOSPC, EX_NO_SPACE)])
def test_a_worker_that_cannot_claim_its_job_says_so_in_one_line(
    name: str,
    number: int,
    status: int,
    tmp_path: Path,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise error_of(number)

    directory = JobDirectory.of(tmp_path, jobs[0])
    directory.write_job(jobs[0])
    monkeypatch.delenv(ATTEMPT_VARIABLE, raising=False)
    monkeypatch.setattr(worker, "_become_worker", lambda *_: None)
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(JobDirectory, name, fails)
    assert worker.main([str(directory.path)]) == status
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{directory.path} cannot be claimed: ")


def _fails_first(call: Any, name: str, failures: dict[str, int], number: int, root: str) -> Any:
    def failing(path: Any, *args: Any, **options: Any) -> Any:
        if failures[name] and str(path).startswith(root):
            failures[name] -= 1
            raise error_of(number)
        return call(path, *args, **options)

    return failing
