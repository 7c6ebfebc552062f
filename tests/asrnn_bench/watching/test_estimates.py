"""Times are estimated from jobs of the same kind, and include the start of a job on this machine."""

import errno
import os
from itertools import pairwise
from pathlib import Path

import pytest
from bench_support import done
from failing_disk import FailingDisk

from asrnn_bench.jobs.directory import JobDirectory, State
from asrnn_bench.records.job import Job
from asrnn_bench.watching.estimates import (
    START_SECONDS,
    Pace,
    TimeToGo,
    job_seconds,
    kind_of,
    known_paces,
    plan_seconds,
    seconds_around,
    seconds_to_go,
)
from asrnn_bench.watching.observer import JobView


def view(job: Job, state: State, **progress: float) -> JobView:
    return JobView.of(done(job, 0.5)) if state == "done" else JobView(job, state, None, progress)


@pytest.fixture
def recurrent(jobs: list[Job]) -> list[Job]:
    return [
        job.model_copy(update={"training": job.training.model_copy(update={"max_steps": 250})})
        for job in jobs
        if job.model.hidden_size is not None and job.seed == 0
    ]


def finished(output: Path, job: Job, took: float) -> JobDirectory:
    """Write a job whose first attempt had its result after so many seconds, by the times of its files."""
    directory = JobDirectory.of(output, job)
    directory.write_job(job)
    attempt = directory.claim()
    directory.publish(done(job, 0.5), attempt)
    ended = (directory.path / "result.json").stat().st_mtime
    os.utime(attempt.path / "claim.json", (ended - took, ended - took))
    return directory


def test_the_time_to_go_is_that_of_the_jobs_left_over_the_slots(recurrent: list[Job]) -> None:
    first, second, third = recurrent[:3]  # 250 steps each; a finished one took 25 seconds
    assert seconds_to_go([view(job, "waiting") for job in recurrent], 2) is None
    views = [view(first, "done"), view(second, "running", step=125, steps_per_second=5.0), view(third, "waiting")]
    # the running one: 125 steps of 0.2 s; the waiting one: its start and 250 steps of (0.1 + 0.2) / 2 s
    assert seconds_to_go(views, 1) == pytest.approx(25.0 + START_SECONDS + 37.5)
    assert seconds_to_go(views, 2) == pytest.approx(START_SECONDS + 37.5)
    assert seconds_to_go(views, 1, start_seconds=0.5) == pytest.approx(25.0 + 0.5 + 37.5)
    assert seconds_to_go(views[:1], 2) == 0.0


def test_the_speed_of_an_unknown_pair_follows_from_its_task_and_its_model(recurrent: list[Job]) -> None:
    a, b = recurrent[0], recurrent[1]
    task = next(job.task for job in recurrent if job.task != a.task)
    # On the first task b takes twice the time of a; on the second a takes five times what it takes on the first.
    views = [view(a, "running", steps_per_second=10.0, step=250), view(b, "running", steps_per_second=5.0, step=250)]
    views += [view(a.model_copy(update={"task": task}), "running", steps_per_second=2.0, step=250)]
    last = JobView(b.model_copy(update={"task": task}), "waiting")
    # The fit goes on until its rounds are over, which is close enough for a time to go.
    assert seconds_to_go([*views, last], 1, start_seconds=0.0) == pytest.approx(250 * 1.0, rel=0.01)


def test_the_times_of_its_files_say_what_a_job_took_beside_its_training(tmp_path: Path, recurrent: list[Job]) -> None:
    directory = finished(tmp_path, recurrent[0], took=26.5)
    assert seconds_around(directory, 1, 25.0) == pytest.approx(1.5, abs=1e-3)  # what a file's time is rounded to
    assert seconds_around(directory, 2, 25.0) is None  # a later attempt trained a part only
    assert seconds_around(directory, 1, 27.0) is None  # copied: its files are all of one time
    assert seconds_around(JobDirectory(tmp_path / "gone"), 1, 25.0) is None


def test_a_plan_takes_as_long_as_its_kinds_took_here_or_is_unknown(tmp_path: Path, recurrent: list[Job]) -> None:
    job, other = recurrent[:2]
    finished(tmp_path, job, took=26.0)
    paces = known_paces(tmp_path, recurrent)
    assert paces == {kind_of(job): Pace(0.1, pytest.approx(1.0, abs=1e-3))}
    later = job.model_copy(update={"seed": 5})
    assert job_seconds(later, paces) == pytest.approx(26.0, abs=1e-3)  # and not with the start of another machine
    assert plan_seconds([later, later], paces, 2) == pytest.approx(26.0, abs=1e-3)
    assert plan_seconds([later, other], paces, 2) is None
    for number, (slow, took) in enumerate(zip(recurrent[2:4], (25.5, 145.0), strict=True)):
        finished(tmp_path, slow, took)  # the first job of a run waits two minutes for imports
        paces = known_paces(tmp_path, recurrent)
        assert paces[kind_of(job)].around_seconds == pytest.approx((0.75, 1.0)[number], abs=1e-3)


def test_results_that_cannot_be_read_just_now_give_no_pace(
    tmp_path: Path, recurrent: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, found = (finished(tmp_path, job, took=26.5) for job in recurrent[:2])
    FailingDisk(monkeypatch, lost.path, errno.EIO).failing = True
    assert list(known_paces(tmp_path, recurrent[:2])) == [kind_of(found.job())]


def test_the_time_to_go_counts_down_and_drifts_to_a_new_estimate() -> None:
    now = [100.0]
    to_go = TimeToGo(lambda: now[0])
    assert to_go.update(None) is None
    assert to_go.update(600.0) == 600.0
    now[0] += 10.0
    assert to_go.update(590.0) == pytest.approx(590.0)
    shown = []
    for _ in range(60):  # the estimates jump between half and twice of what is true
        now[0] += 10.0
        true = max(0.0, 590.0 - (now[0] - 110.0))
        shown.append(to_go.update(true * (2.0 if len(shown) % 2 else 0.5)) or 0.0)
    assert all(abs(after - before) < 60.0 for before, after in pairwise(shown))
    assert shown[-1] < 60.0
