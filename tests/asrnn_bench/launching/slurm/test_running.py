"""The Slurm launcher with a queue that the test directs: what is submitted, when, and what the user is told."""

from collections.abc import Sequence

import pytest
from fake_slurm import FakeSlurm, finish, lose

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import running as slurm
from asrnn_bench.launching.slurm.commands import QueueEntry, RefusedError, Task
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import Submissions

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


def test_every_job_is_submitted_once_if_nothing_fails(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert fake.submitted == [[directory.path.name for directory in directories]]
    assert said == ["submitted to Slurm as 1: 5 jobs"]


def test_a_lost_job_is_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    lost = directories[1]
    fake.act = lambda directory, count: lose(directory) if directory == lost and count < 3 else finish(directory)
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert [len(names) for names in fake.submitted] == [5, 1, 1]
    assert [(end.kind, end.reason) for end in lost.ends()[:2]] == [("preempted", "Slurm ended it: NODE_FAIL")] * 2
    assert said.count("left Slurm without a result (NODE_FAIL), and submitted again: 1 job") == 2
    assert len(lost.attempts()) == 3


def test_a_job_that_left_the_queue_is_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.act = lambda directory, count: fake.queue.clear() if count == 1 else finish(directory)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert [len(names) for names in fake.submitted] == [1, 1]


def test_a_job_without_progress_fails_after_six_losses(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.act = lambda directory, count: "CANCELLED"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 6
    assert directories[0].state() == (
        "failed",
        "Slurm ended it: CANCELLED, for the 6th time without getting any further",
    )


def test_a_job_that_is_killed_again_and_again_fails_after_its_retries(
    directories: list[JobDirectory], fake: FakeSlurm
) -> None:
    fake.reason = "NonZeroExitCode"
    fake.act = lambda directory, count: lose(directory) and "FAILED"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1 + OPTIONS.retries
    assert directories[0].state() == ("failed", "Slurm ended it: FAILED")


def test_a_failed_launch_uses_up_no_retry(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.reason = "JobLaunchFailure"
    fake.act = lambda directory, count: lose(directory) and "FAILED" if count < 4 else finish(directory)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert directories[0].state() == ("done", None)


def test_a_job_that_slurm_holds_for_ever_is_cancelled_and_submitted_again(
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


def test_a_result_that_appears_late_is_not_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    def late(names: Sequence[str]) -> dict[Task, QueueEntry] | None:
        found = {task: QueueEntry("1", "COMPLETED", "None") for task in fake.queue}
        for directory, _ in fake.queue.values():
            if found and fake.looked:
                finish(directory)
        fake.looked = bool(found)
        return found

    slurm.read_queue = late  # type: ignore[assignment]  # the fixture puts the true one back
    run_slurm(directories[:2], OPTIONS, ASKED)
    assert len(fake.submitted) == 1


def test_a_job_that_ran_out_of_memory_is_not_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.act = lambda directory, count: lose(directory) and "OUT_OF_MEMORY"
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("failed", "Slurm ended it: OUT_OF_MEMORY")


def test_a_job_that_failed_is_not_submitted_again(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    def fail(directory: JobDirectory, count: int) -> str:
        directory.claim().write_end(End(70, "exception", "ValueError: no"))
        return "COMPLETED"

    fake.act = fail
    run_slurm(directories[:2], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("failed", "ValueError: no")


def test_a_job_that_its_supervisor_retries_is_not_submitted_again(
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


def test_jobs_that_slurm_refuses_end_the_run_with_one_line(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.limit = 0
    with pytest.raises(UsageError, match="^Slurm refuses the jobs: too many; --slurm-option"):
        run_slurm(directories, OPTIONS, ASKED)


def test_jobs_above_the_limit_of_a_user_wait_for_the_others(
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


def test_nothing_is_submitted_if_the_queue_cannot_be_read(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    fake.answers = False
    with pytest.raises(UsageError, match="'squeue' fails here"):
        run_slurm(directories, OPTIONS, ASKED)
    assert not fake.submitted


def test_the_reason_for_which_jobs_wait_is_printed_once(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    looks = 0

    def act(directory: JobDirectory, count: int) -> str | None:
        return None

    def look_and_hold(names: Sequence[str]) -> dict[Task, QueueEntry] | None:
        nonlocal looks
        looks += 1
        if looks > 5:
            fake.act = lambda directory, count: finish(directory)
            return fake.read_queue(names)
        reason = "ReqNodeNotAvail, UnavailableNodes:n1" if looks > 3 else "Priority"
        return {task: QueueEntry("1", "PENDING", reason) for task in fake.queue}

    fake.act = act
    slurm.read_queue = look_and_hold  # type: ignore[assignment]  # the fixture puts the true one back
    said: list[str] = []
    run_slurm(directories, OPTIONS, ASKED, say=said.append)
    assert said[1:] == ["waiting in Slurm, which says ReqNodeNotAvail: 5 jobs"]


def test_a_second_runner_watches_the_jobs_of_the_first(directories: list[JobDirectory], fake: FakeSlurm) -> None:
    folder = Submissions.of(directories[0]).folder
    for name, inside in (("asrnn-bench-old", directories[:3]), ("asrnn-bench-over", directories[3:])):
        (folder / name).mkdir(parents=True)
        paths = [str(directory.path.relative_to(folder.parent)) for directory in inside]
        (folder / name / "jobs.txt").write_text("".join(f"{path}\n" for path in paths))
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
