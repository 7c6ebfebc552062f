"""The Slurm launcher's way with its queue, without a Slurm: what is submitted, when, and what is said of it."""

import errno
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_slurm import FakeSlurm, finish, lose

from asrnn.errors import UsageError
from asrnn_bench.files import disk_errors
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import job as slurm_job
from asrnn_bench.launching.slurm import launcher as slurm
from asrnn_bench.launching.slurm.commands import Seen, Task
from asrnn_bench.launching.slurm.launcher import run_slurm
from asrnn_bench.launching.slurm.request import SlurmRequest
from asrnn_bench.launching.slurm.submission import RefusedError, Submissions, UnansweredError

OPTIONS = Options(retries=1)
ASKED = SlurmRequest({"partition": "gpu"})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    found = FakeSlurm(lambda directory, submissions: finish(directory))
    monkeypatch.setattr(slurm, "check_slurm", lambda: None)
    monkeypatch.setattr(slurm, "longest_array", lambda: 1000)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "DIRECTORIES_A_SECOND", math.inf)
    monkeypatch.setattr(slurm, "look", found.look)
    monkeypatch.setattr(Submissions, "submit", lambda self, *arguments: found.submit(*arguments))
    return found


def test_every_job_is_submitted_once_where_all_goes_well(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert fake.submitted == [[directory.path.name for directory in directories]]
    assert said == ["submitted to Slurm as 1: 5 jobs"]


def test_what_slurm_loses_is_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    lost = directories[1]
    fake.act = lambda directory, count: lose(directory) if directory == lost and count < 3 else finish(directory)
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert [len(names) for names in fake.submitted] == [5, 1, 1]
    assert [(end.kind, end.reason) for end in lost.ends()[:2]] == [("preempted", "Slurm ended it: NODE_FAIL")] * 2
    assert said.count("left Slurm without a result (NODE_FAIL), and submitted again: 1 job") == 2
    assert len(lost.attempts()) == 3


def test_a_job_of_which_slurm_knows_nothing_any_more_is_submitted_again(
    directories: list[JobDirectory], fake: FakeSlurm
) -> None:
    fake.act = lambda directory, count: fake.queue.clear() if count == 1 else finish(directory)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert [len(names) for names in fake.submitted] == [1, 1]


def test_a_job_that_never_gets_any_further_fails_in_the_end(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.act = lambda directory, count: "CANCELLED"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 6
    assert directories[0].state() == (
        "failed",
        "Slurm ended it: CANCELLED, for the 6th time without getting any further",
    )


def test_a_job_that_is_killed_again_and_again_fails_as_the_policy_says(
    directories: list[JobDirectory], fake: FakeSlurm
) -> None:
    fake.reason = "NonZeroExitCode"
    fake.act = lambda directory, count: lose(directory) and "FAILED"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1 + OPTIONS.retries
    assert directories[0].state() == ("failed", "Slurm ended it: FAILED")


def test_a_failed_launch_is_no_fault_of_the_job(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.reason = "JobLaunchFailure"
    fake.act = lambda directory, count: lose(directory) and "FAILED" if count < 4 else finish(directory)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert directories[0].state() == ("done", None)


def test_a_job_that_slurm_holds_for_ever_is_taken_out_and_submitted_again(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    fake.reason = "launch failed requeued held"
    fake.act = lambda directory, count: "PENDING" if count == 1 else finish(directory)
    said: list[str] = []
    run_slurm(directories[:2], OPTIONS, ASKED, say=said.append)
    assert cancelled == ["1", "1"]
    assert "left Slurm without a result (launch failed requeued held), and submitted again: 2 jobs" in said


def test_an_end_that_is_seen_late_is_no_loss(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    def late(names: Sequence[str]) -> dict[Task, Seen] | None:
        found = {task: Seen("1", "COMPLETED", "None") for task in fake.queue}
        for directory, _ in fake.queue.values():
            if found and fake.looked:
                finish(directory)
        fake.looked = bool(found)
        return found

    slurm.look = late  # type: ignore[assignment]  # the fixture puts the true one back
    run_slurm(directories[:2], OPTIONS, ASKED)
    assert len(fake.submitted) == 1


def test_memory_that_ran_out_is_a_finding(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.act = lambda directory, count: lose(directory) and "OUT_OF_MEMORY"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("failed", "Slurm ended it: OUT_OF_MEMORY")


def test_a_job_that_failed_by_itself_is_left_alone(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    def fail(directory: JobDirectory, count: int) -> str:
        directory.claim().write_end(End(70, "exception", "ValueError: no"))
        return "COMPLETED"

    fake.act = fail
    run_slurm(directories[:2], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("failed", "ValueError: no")


def test_a_failure_that_the_supervisor_is_about_to_retry_is_not_its_end(
    directories: list[JobDirectory], fake: FakeSlurm
) -> None:
    def killed_at_first(directory: JobDirectory, count: int) -> str | None:
        if directory.attempts():
            return finish(directory)
        directory.claim().write_end(End(-9, "killed", "killed by signal 9"))
        return None

    fake.act = killed_at_first
    run_slurm(directories, OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("done", None)


def test_arrays_above_a_limit_are_submitted_in_parts(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.limit = 2
    run_slurm(directories, OPTIONS, ASKED)
    assert [len(names) for names in fake.submitted] == [2, 2, 1]


def test_jobs_that_nobody_takes_end_the_run_in_one_line(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.limit = 0
    with pytest.raises(UsageError, match="^Slurm refuses the jobs: too many; --slurm-option"):
        run_slurm(directories, OPTIONS, ASKED)


def test_jobs_above_what_a_user_may_have_wait_for_the_others(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "REFUSED_SECONDS", 0.01)
    submit = fake.submit

    def limited(directories: Sequence[JobDirectory], *rest: object) -> tuple[str, str]:
        inside = sum(state == "RUNNING" for _, state in fake.queue.values())
        if inside + len(directories) > 2:
            raise RefusedError("QOSMaxSubmitJobPerUserLimit")
        return submit(directories, *rest)  # type: ignore[arg-type]

    fake.submit = limited  # type: ignore[method-assign]
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert all(directory.is_done() for directory in directories)
    assert sum("asked again every half minute: QOSMaxSubmitJobPerUserLimit" in line for line in said) == 1


def test_a_queue_that_does_not_answer_loses_no_job(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    looks = 0

    def act(directory: JobDirectory, count: int) -> str | None:
        nonlocal looks
        looks += 1
        fake.answers = looks > 20
        return finish(directory) if looks > 30 else None

    fake.act = act
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert len(fake.submitted) == 1
    assert said.count("Slurm does not answer; its jobs go on, and the run waits for it") == 1


def test_nothing_is_submitted_where_nobody_knows_what_slurm_has(
    directories: list[JobDirectory], fake: FakeSlurm
) -> None:
    fake.answers = False
    with pytest.raises(UsageError, match="'squeue' fails here"):
        run_slurm(directories, OPTIONS, ASKED)
    assert not fake.submitted


def test_why_jobs_wait_is_said_once(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    looks = 0

    def act(directory: JobDirectory, count: int) -> str | None:
        return None

    def look_and_hold(names: Sequence[str]) -> dict[Task, Seen] | None:
        nonlocal looks
        looks += 1
        if looks > 5:
            fake.act = lambda directory, count: finish(directory)
            return fake.look(names)
        reason = "ReqNodeNotAvail, UnavailableNodes:n1" if looks > 3 else "Priority"
        return {task: Seen("1", "PENDING", reason) for task in fake.queue}

    fake.act = act
    slurm.look = look_and_hold  # type: ignore[assignment]  # the fixture puts the true one back
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert said[1:] == ["waiting in Slurm, which says ReqNodeNotAvail: 5 jobs"]


def test_a_second_runner_takes_over_what_is_in_slurm(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    folder = Submissions.of(directories[0]).folder
    for name, inside in (("asrnn-bench-old", directories[:3]), ("asrnn-bench-over", directories[3:])):
        (folder / name).mkdir(parents=True)
        paths = [str(directory.path.relative_to(folder.parent)) for directory in inside]
        (folder / name / "jobs.json").write_text(json.dumps({"jobs": paths}))
    fake.queue = {("asrnn-bench-old", index): (directories[index], "RUNNING") for index in range(2)}
    said: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    fake.act = lambda directory, count: None
    with pytest.raises(KeyboardInterrupt):
        run_slurm(directories, OPTIONS, ASKED, interrupt, said.append)
    assert said[0] == "in Slurm already, as 1, and not submitted again: 2 jobs"
    assert fake.submitted == [[directory.path.name for directory in directories[2:]]]
    assert said[-1].startswith("5 jobs in Slurm: they go on; the same command watches again")
    assert "scancel 1 ends them" in said[-1]
    assert [path.name for path in folder.iterdir()] == ["asrnn-bench-old"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that every job's watch shows; each look at one takes five."""
    shown = [0.0]

    def tick() -> float:
        shown[0] += 5.0
        return shown[0]

    monkeypatch.setattr(slurm_job, "time", SimpleNamespace(monotonic=tick))
    return shown


def _hidden(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, act: Callable[[JobDirectory, int], object]) -> None:
    """Let jobs run on that the queue does not show."""

    def look(names: Sequence[str]) -> dict[Task, Seen]:
        for directory, _ in fake.queue.values():
            act(directory, len(fake.submitted))
        return {}

    monkeypatch.setattr(slurm, "look", look)


@pytest.mark.usefixtures("clock")
def test_a_job_that_moves_is_not_lost_whatever_the_queue_shows(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def act(directory: JobDirectory, count: int) -> object:
        nonlocal looks
        looks += 1
        if looks == 1:
            directory.claim()
        directory.write_progress({"attempt": 1, "seq": looks // 8})  # it writes less often than the queue is asked
        return looks > 200 and finish(directory)

    _hidden(fake, monkeypatch, act)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("done", None)


def test_a_job_that_is_not_shown_and_does_not_move_is_lost_in_the_end(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    lost_at: list[float] = []

    def act(directory: JobDirectory, count: int) -> object:
        if not directory.attempts():
            directory.claim()
        if count == 2 and not lost_at:
            lost_at.append(clock[0])
        return count == 2 and finish(directory)

    _hidden(fake, monkeypatch, act)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 2
    assert 60.0 <= lost_at[0] <= 90.0


@pytest.mark.usefixtures("clock")
def test_a_submission_that_slurm_took_without_saying_so_is_neither_lost_nor_sent_twice(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, looks = fake.submit, 0

    def late(*given: Any) -> tuple[str, str]:
        name, _ = submit(*given)
        raise UnansweredError(name, "Socket timed out on send/recv operation")

    def look(names: Sequence[str]) -> dict[Task, Seen] | None:
        nonlocal looks
        looks += 1
        return fake.look(names) if looks > 15 else {}

    fake.submit = late  # type: ignore[method-assign]
    monkeypatch.setattr(slurm, "look", look)
    named: list[tuple[str, str]] = []
    monkeypatch.setattr(slurm, "name_tasks", lambda folder, number: named.append((folder.name, number)))
    fake.act = lambda directory, count: finish(directory) if looks > 18 else None
    said: list[str] = []
    run_slurm(directories[:1], OPTIONS, ASKED, say=said.append)
    assert len(fake.submitted) == 1
    assert named == [("asrnn-bench-1", "1")]
    assert said[0] == (
        "Slurm did not say whether it takes 1 job (Socket timed out on send/recv operation): its queue will"
    )


@pytest.mark.usefixtures("clock")
def test_a_submission_that_slurm_did_not_take_is_sent_again(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = fake.submit

    def refuses_once(*given: Any) -> tuple[str, str]:
        if not fake.submitted:
            fake.submitted.append([])
            raise UnansweredError("asrnn-bench-gone", "Socket timed out on send/recv operation")
        return submit(*given)

    fake.submit = refuses_once  # type: ignore[method-assign]
    run_slurm(directories, OPTIONS, ASKED)
    assert [len(names) for names in fake.submitted] == [0, 5]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", ["is_done", "progress", "attempts"])
def test_a_directory_that_cannot_be_read_for_a_while_is_looked_at_again(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    method, failed, in_job = getattr(JobDirectory, name), 0, False

    def fails(directory: JobDirectory) -> Any:
        nonlocal failed
        if fake.submitted and not in_job and failed < 4:
            failed += 1
            raise OSError(number, os.strerror(number))
        return method(directory)

    def act(directory: JobDirectory, count: int) -> str:
        nonlocal in_job
        in_job = True
        ended = lose(directory) if count == 1 else finish(directory)
        in_job = False
        return ended

    fake.act = act
    said: list[str] = []
    monkeypatch.setattr(JobDirectory, name, fails)
    monkeypatch.setattr(slurm, "REFUSED_SECONDS", 0.0)
    run_slurm(directories[:1], OPTIONS, ASKED, say=said.append)
    assert failed == 4
    assert directories[0].state() == ("done", None)
    assert sum(os.strerror(number) in line for line in said) == 1


@pytest.mark.parametrize("name", ["is_done", "attempts"])
@pytest.mark.parametrize(("number", "hang_seconds"), [(errno.EACCES, 600.0), (errno.EIO, 0.05)])
def test_a_directory_that_stays_unreadable_stops_no_other_job(
    directories: list[JobDirectory],
    fake: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    hang_seconds: float,
) -> None:
    method = getattr(JobDirectory, name)

    def fails(directory: JobDirectory) -> Any:
        if directory == directories[0]:
            raise OSError(number, os.strerror(number))
        return method(directory)

    monkeypatch.setattr(JobDirectory, name, fails)
    words = run_slurm(directories, OPTIONS.model_copy(update={"hang_seconds": hang_seconds}), ASKED)
    assert [names[-4:] for names in fake.submitted] == [[directory.path.name for directory in directories[1:]]]
    assert [directory.state() for directory in directories[1:]] == [("done", None)] * 4
    assert list(words) == directories[:1]
    assert f"its directory cannot be read: [Errno {number}]" in words[directories[0]]


def test_the_folder_of_submissions_is_asked_again_and_is_the_end_where_it_stays_silent(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, fails = Submissions.tasks, 1

    def ask(submissions: Submissions) -> Any:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return tasks(submissions)

    monkeypatch.setattr(Submissions, "tasks", ask)
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.01)
    run_slurm(directories, OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    fails = 1000
    with pytest.raises(UsageError, match="cannot be read: Input/output error; start the run again"):
        run_slurm(directories, OPTIONS, ASKED)


def test_the_first_job_need_not_be_readable_to_start_the_others(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobDirectory.job

    def fails(directory: JobDirectory) -> Any:
        if directory == directories[0] and not fake.submitted:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return job(directory)

    monkeypatch.setattr(JobDirectory, "job", fails)
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.0)
    run_slurm(directories, OPTIONS, ASKED)
    assert all(directory.is_done() for directory in directories)


@pytest.mark.usefixtures("clock")
def test_tasks_that_could_not_be_named_are_named_at_the_next_look(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, asked = fake.submit, list[str]()

    def late(*given: Any) -> tuple[str, str]:
        name, _ = submit(*given)
        raise UnansweredError(name, "Socket timed out on send/recv operation")

    def name_tasks(folder: Path, number: str) -> None:
        asked.append(number)
        if len(asked) < 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    fake.submit = late  # type: ignore[method-assign]
    fake.act = lambda directory, count: finish(directory) if len(asked) >= 3 else None
    monkeypatch.setattr(slurm, "name_tasks", name_tasks)
    run_slurm(directories, OPTIONS, ASKED)
    assert asked == ["1"] * 3
    assert len(fake.submitted) == 1
