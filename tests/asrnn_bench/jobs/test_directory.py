import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest
from bench_support import done

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.job import Job


@pytest.fixture
def job(jobs: list[Job]) -> Job:
    return next(job for job in jobs if job.model.name == "lstm")


@pytest.fixture
def directory(tmp_path: Path, job: Job) -> JobDirectory:
    found = JobDirectory.of(tmp_path, job)
    found.write_job(job)
    return found


def test_a_job_is_where_its_name_says_and_comes_back_as_it_was(
    tmp_path: Path, directory: JobDirectory, job: Job
) -> None:
    parts = directory.path.relative_to(tmp_path).parts
    assert parts == ("long-range", job.task.name, "lstm", f"seed-0-{job.key[:12]}")
    assert directory.job() == job
    assert list(JobDirectory.below(tmp_path)) == [directory]


def _claim(path: Path, numbers: "multiprocessing.Queue[int]") -> None:
    numbers.put(JobDirectory(path).claim().number)


def test_attempts_claimed_at_once_have_different_numbers(directory: JobDirectory) -> None:
    context = multiprocessing.get_context("spawn")
    numbers: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_claim, args=(directory.path, numbers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(numbers.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert found == [1, 2, 3, 4]


def test_a_number_that_another_process_took_meanwhile_is_not_taken_again(
    directory: JobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = directory.claim()
    monkeypatch.setattr(JobDirectory, "attempts", lambda self: [])  # it looked too early
    second = directory.claim()
    assert (first.number, second.number) == (1, 2)
    assert first.path != second.path
    assert directory.try_claim() is None


def test_only_the_first_result_is_published_and_the_later_one_is_kept(directory: JobDirectory, job: Job) -> None:
    first, second = directory.claim(), directory.claim()
    assert directory.publish(done(job, 0.5), second)
    assert not directory.publish(done(job, 0.9), first)
    assert directory.result() == done(job, 0.5)
    assert json.loads((first.path / "result.json").read_text())["scores"]["test_accuracy"] == 0.9


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema_version": 1}', b"\x00\xff", b"[1, 2]"])
def test_a_damaged_result_is_a_failure_with_what_to_do_and_is_left_as_it_is(
    directory: JobDirectory, content: bytes
) -> None:
    (directory.path / "result.json").write_bytes(content)
    state, reason = directory.state()
    assert state == "failed"
    assert re.search("is damaged: .*; run again with --retry-failed, which puts it aside", str(reason))
    assert (directory.path / "result.json").read_bytes() == content


def test_a_truncated_result_is_damaged_at_every_length(directory: JobDirectory, job: Job) -> None:
    text = done(job, 0.5).text()
    for length in range(0, len(text) - 2, 97):
        (directory.path / "result.json").write_text(text[:length])
        assert directory.state()[0] == "failed"


def test_the_result_of_another_job_is_refused(directory: JobDirectory, job: Job) -> None:
    (directory.path / "result.json").write_text(done(job.model_copy(update={"seed": 9}), 0.5).text())
    with pytest.raises(UsageError, match="it is the result of another job"):
        directory.result()


def test_the_state_follows_what_happens(directory: JobDirectory, job: Job) -> None:
    assert directory.state() == ("waiting", None)
    directory.skip("no-data", "no data here")
    assert directory.state() == ("no-data", "no data here")
    attempt = directory.claim()
    assert directory.state() == ("running", None)
    attempt.write_end(End(70, "exception", "ValueError: no"))
    assert directory.state() == ("failed", "ValueError: no")
    interrupted = directory.claim()
    interrupted.write_end(End(75, "preempted", "asked to stop by SIGTERM"))
    assert directory.state() == ("waiting", None)
    directory.publish(done(job, 0.5), directory.claim())
    assert directory.state() == ("done", None)


def test_the_first_word_on_an_end_stays(directory: JobDirectory) -> None:
    attempt = directory.claim()
    attempt.write_end(End(65, "damaged", "the worker knows"))
    attempt.write_end(End(65, "damaged", "the supervisor guesses"))
    assert directory.state()[1] == "the worker knows"
    attempt.write_end(End(-9, "hang", "nothing moved"), insist=True)
    assert directory.state()[1] == "nothing moved"


def test_an_attempt_whose_process_is_gone_does_not_run(directory: JobDirectory) -> None:
    attempt = directory.claim()
    claim = json.loads((attempt.path / "claim.json").read_text())
    assert claim["pid"] == os.getpid()
    (attempt.path / "claim.json").write_text(json.dumps({**claim, "pid": 2**22 + 1}))
    assert directory.state() == ("waiting", None)


def test_a_process_that_got_the_number_of_another_is_not_taken_for_it(directory: JobDirectory) -> None:
    attempt = directory.claim()
    assert directory.state() == ("running", None)
    claim = json.loads((attempt.path / "claim.json").read_text())
    (attempt.path / "claim.json").write_text(json.dumps({**claim, "started": claim["started"] + "0"}))
    assert directory.state() == ("waiting", None)


def test_a_runner_that_will_start_a_job_takes_back_what_came_of_it_before(directory: JobDirectory) -> None:
    directory.claim().write_end(End(70, "exception", "ValueError: no"))
    directory.wait()
    assert directory.state() == ("waiting", None)
    directory.claim()
    assert directory.state() == ("running", None)


def test_without_hard_links_there_is_one_result_all_the_same(
    directory: JobDirectory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert directory.publish(done(job, 0.5), directory.claim())
    assert not directory.publish(done(job, 0.9), directory.claim())
    assert directory.is_done()
    assert directory.result() == done(job, 0.5)
    assert not list(directory.path.glob(".result*"))


def test_a_damaged_or_altered_job_is_written_anew_by_the_plan(directory: JobDirectory, job: Job) -> None:
    for text in ("", (directory.path / "job.json").read_text().replace('"seed": 0', '"seed": 1')):
        (directory.path / "job.json").write_text(text)
        with pytest.raises(UsageError, match="it is not JSON|altered"):
            directory.job()
        directory.write_job(job)
        assert directory.job() == job


def test_a_model_file_travels_as_it_is_whatever_its_encoding(tmp_path: Path) -> None:
    file = tmp_path / "cells.py"
    file.write_bytes("# -*- coding: latin-1 -*-\n# \xe9t\xe9\nclass MyCell: pass\n".encode("latin-1"))
    plan = make_plan(load_suite("long-range"), Request(models=[f"{file}:MyCell"], tasks=["permuted-mnist"]))
    (job,) = [job for job in plan.jobs if job.model.name == "my-cell"]
    directory = JobDirectory.of(tmp_path / "runs", job)
    directory.write_job(job, plan.files["my-cell"])
    assert directory.model_path(job).read_bytes() == file.read_bytes()
    file.write_text("class MyCell: edited = True\n")
    with pytest.raises(UsageError, match="changed while the run was being planned"):
        directory.write_job(job, plan.files["my-cell"])


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, job: Job) -> None:
    (tmp_path / "long-range").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match="cannot write to .*; choose another --output"):
        JobDirectory.of(tmp_path, job).write_job(job)


def test_no_temporary_file_stays(directory: JobDirectory, job: Job) -> None:
    attempt = directory.claim()
    directory.write_progress({"attempt": attempt.number, "step": 1})
    directory.publish(done(job, 0.5), attempt)
    assert not list(directory.path.rglob(".*"))


def test_progress_is_that_of_the_attempt_that_runs(directory: JobDirectory) -> None:
    first = directory.claim()
    directory.write_progress({"attempt": first.number, "step": 90})
    assert directory.progress()["step"] == 90
    directory.claim()
    assert directory.progress() == {}


def test_a_directory_is_new_to_the_process_that_made_it(tmp_path: Path, jobs: list[Job]) -> None:
    directory = JobDirectory.of(tmp_path, jobs[0])
    assert directory.write_job(jobs[0])
    assert not directory.write_job(jobs[0])
    (directory.path / "job.json").unlink()  # as after a power cut: it may have been at work before
    assert not directory.write_job(jobs[0])
    assert directory.job() == jobs[0]
