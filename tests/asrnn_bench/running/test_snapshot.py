from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.records import Job
from asrnn_bench.running.display import duration, summary
from asrnn_bench.running.job_directory import JobDirectory, State
from asrnn_bench.running.snapshot import (
    START_SECONDS,
    JobView,
    Observer,
    kind_of,
    known_speeds,
    plan_seconds,
    seconds_to_go,
)


def view(job: Job, state: State, **progress: float) -> JobView:
    return JobView(job, state, None, progress, done(job, 0.5) if state == "done" else None)


@pytest.fixture
def recurrent(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.model.hidden_size is not None and job.seed == 0]


def test_the_time_to_go_is_that_of_the_jobs_left_over_the_slots(recurrent: list[Job]) -> None:
    first, second, third = recurrent[:3]  # 250 steps each; a finished one took 25 seconds
    assert seconds_to_go([view(job, "waiting") for job in recurrent], 2) is None
    views = [view(first, "done"), view(second, "running", step=125, steps_per_second=5.0), view(third, "waiting")]
    # the running one: 125 steps of 0.2 s; the waiting one: its start and 250 steps of (0.1 + 0.2) / 2 s
    assert seconds_to_go(views, 1) == pytest.approx(25.0 + START_SECONDS + 37.5)
    assert seconds_to_go(views, 2) == pytest.approx(START_SECONDS + 37.5)
    assert seconds_to_go(views[:1], 2) == 0.0


def test_a_plan_takes_as_long_as_its_kinds_took_here_or_is_unknown(tmp_path: Path, recurrent: list[Job]) -> None:
    job, other = recurrent[:2]
    directory = JobDirectory.of(tmp_path, job)
    directory.write_job(job)
    directory.publish(done(job, 0.5), directory.claim())
    speeds = known_speeds(tmp_path, recurrent)
    assert speeds == {kind_of(job): 0.1}
    later = job.model_copy(update={"seed": 5})
    assert plan_seconds([later, later], speeds, 2) == pytest.approx(START_SECONDS + 25.0)
    assert plan_seconds([later, other], speeds, 2) is None


def test_an_observer_reads_every_job_and_names_what_it_cannot_read(tmp_path: Path, recurrent: list[Job]) -> None:
    for job in recurrent[:3]:
        JobDirectory.of(tmp_path, job).write_job(job)
    (JobDirectory.of(tmp_path, recurrent[0]).path / "job.json").write_text("{")
    observer, faults = Observer.below(tmp_path)
    assert [v.state for v in observer.look()] == ["waiting", "waiting"]
    assert len(faults) == 1
    assert "damaged" in faults[0]


def test_the_summary_counts_every_state(recurrent: list[Job]) -> None:
    states: list[State] = ["done", "running", "failed", "no-data", "waiting"]
    text = summary([view(job, state) for job, state in zip(recurrent, states, strict=False)], 2)
    assert text.startswith("1 of 5 jobs done, 1 running, 1 waiting, 1 failed, 1 no-data, about")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (5399, "1 h 30 min"), (7500, "2 h 05 min")]
)
def test_times_are_words_of_a_few_letters(seconds: float, words: str) -> None:
    assert duration(seconds) == words
