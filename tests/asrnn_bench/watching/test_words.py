from collections.abc import Sequence

import pytest
from bench_support import done

from asrnn_bench.jobs.directory import State
from asrnn_bench.records.job import Job
from asrnn_bench.watching.observer import JobView
from asrnn_bench.watching.words import MOST_ENDED, duration, ended_line, ended_lines, ranges, size, summary


def test_the_summary_counts_every_state(jobs: list[Job]) -> None:
    states: list[State] = ["running", "failed", "no-data", "waiting"]
    views = [JobView(job, state) for job, state in zip(jobs, states, strict=False)]
    counted = "1 of 5 jobs done, 1 running, 1 waiting, 1 failed, 1 no-data, "
    views.insert(0, JobView.of(done(jobs[4], 0.5)))
    assert summary(views, 300.0) == counted + "about 5 min to go"
    assert summary(views, None) == counted + "time to go unknown yet"
    assert summary(views, 300.0, stopping="saving 1 job") == counted + "saving 1 job"
    assert "none of them runs" in summary(views[2:], None, is_live=False)


def test_the_time_to_go_of_trials_is_that_of_their_rung(jobs: list[Job]) -> None:
    trials = [JobView(job.model_copy(update={"tested": False}), "waiting") for job in jobs]
    assert summary(trials, 300.0).endswith("about 5 min to go in this rung")


def test_a_line_says_how_a_job_ended(jobs: list[Job]) -> None:
    line = ended_line(JobView.of(done(jobs[4], 0.5))).plain
    assert line == f"done     {jobs[4].label}: test accuracy 50.0%, 25 s"
    failed = ended_line(JobView(jobs[4], "failed", "out of memory")).plain
    assert failed == f"failed   {jobs[4].label}: out of memory"


def test_a_thousand_jobs_that_failed_alike_are_a_line_and_those_that_did_not_are_counted(jobs: list[Job]) -> None:
    alike = [JobView(job, "failed", "no space") for job in jobs[:1] * 1000]
    assert [line.plain for line in ended_lines(alike)] == [f"failed   1000 jobs, such as {jobs[0].label}: no space"]
    apart = [JobView(job, "diverged", f"the loss became nan at step {step}") for step, job in enumerate(jobs[:1] * 500)]
    lines = [line.plain for line in ended_lines([*alike, *apart, *(JobView.of(done(job, 0.5)) for job in jobs)])]
    assert lines[0].startswith("failed   1000 jobs")
    assert lines[1] == f"diverged {jobs[0].label}: the loss became nan at step 0"
    assert lines[-2:] == [f"diverged {500 - MOST_ENDED + 1} more jobs", f"done     {len(jobs)} more jobs"]
    assert len(lines) == MOST_ENDED + 2
    few = [JobView(job, "failed", "no space") for job in jobs[:2]]
    assert [line.plain for line in ended_lines(few)] == [ended_line(view).plain for view in few]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (5399, "1 h 30 min"), (7500, "2 h 05 min")]
)
def test_times_are_words_of_a_few_letters(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 KiB"), (524288, "512 KiB"), (3565158, "3.4 MiB"), (5 << 29, "2.5 GiB")]
)
def test_sizes_are_words_of_a_few_letters(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("numbers", "words"), [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2, 3, 7, 9, 10, 11], "0-3,7,9-11")]
)
def test_many_seeds_take_few_letters(numbers: Sequence[int], words: str) -> None:
    assert ranges(numbers) == words
