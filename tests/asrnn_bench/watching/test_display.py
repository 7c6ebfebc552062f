import io
from pathlib import Path

import pytest
from bench_support import done
from rich.console import Console

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.watching.display import (
    REPORT_INTERVAL_SECONDS,
    SHOW_INTERVAL_SECONDS,
    SHOW_SHARE,
    Display,
)
from asrnn_bench.watching.observer import JobView, Observer


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(Observer):
    """An observer whose looks take some seconds of a test's clock."""

    def __init__(self, clock: Clock, seconds: float, jobs: list[Job]) -> None:
        super().__init__([], [])
        self.clock, self.seconds, self.shown, self.looks = clock, seconds, [JobView(job, "waiting") for job in jobs], 0

    def look(self, seconds: float = 0.0) -> list[JobView]:
        self.clock.now += self.seconds
        self.looks += 1
        return list(self.shown)


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("seconds", [0.001, 0.1, 3.0])
def test_looking_takes_a_small_share_of_the_time(jobs: list[Job], seconds: float, is_terminal: bool) -> None:
    clock = Clock()
    observer = Slow(clock, seconds, jobs[:3])
    display = Display(observer, Console(file=io.StringIO(), force_terminal=is_terminal), 2, clock)
    with display.open():
        begin, looks = clock.now, observer.looks
        while clock.now < begin + 600.0:
            display.refresh()
            clock.now += 0.05
        looked = observer.looks - looks
    assert looked * seconds <= SHOW_SHARE * (clock.now - begin) + seconds
    expected = min(600.0 / SHOW_INTERVAL_SECONDS, 600.0 * SHOW_SHARE / seconds)
    assert 0.8 * expected <= looked <= expected + 1


def test_every_end_is_a_line_and_what_had_ended_before_is_none(tmp_path: Path, jobs: list[Job]) -> None:
    directories = [JobDirectory.of(tmp_path, job) for job in jobs[:3]]
    for directory, job in zip(directories, jobs, strict=False):
        directory.write_job(job)
    directories[0].publish(done(jobs[0], 0.25), directories[0].claim())
    console = Console(file=io.StringIO(), width=100)
    clock = Clock()
    with Display(Observer(directories, jobs[:3]), console, 2, clock).open() as display:
        display.refresh()
        directories[1].publish(done(jobs[1], 0.5), directories[1].claim())
        clock.now += REPORT_INTERVAL_SECONDS
        display.refresh()
        directories[2].skip("failed", "no reason")
    said = written(console)
    assert jobs[0].label not in said
    assert said.count(f"{jobs[1].label}: test accuracy 50.0%") == 1
    assert said.count(f"{jobs[2].label}: no reason") == 1


def written(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_terminal_there_is_a_report_a_minute(jobs: list[Job]) -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=100)
    observer = Slow(clock, 0.0, jobs)
    with Display(observer, console, 2, clock).open() as display:
        begin, index = clock.now, 0
        while clock.now < begin + 300.0:
            clock.now += 1.0
            observer.shown[index % len(jobs)] = JobView(jobs[index % len(jobs)], "failed", "no space")
            index += 1
            display.refresh()
    lines = written(console).splitlines()
    sums = [line for line in lines if " jobs done" in line]
    assert len(sums) == 5  # one a minute, and none at the end that would say the same again
    assert len([line for line in lines if "jobs, such as" in line]) <= 6


def test_what_a_run_waits_for_is_shown_at_once_and_in_place_of_the_time_to_go(jobs: list[Job]) -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=100)
    job = next(job for job in jobs if job.model.hidden_size)
    observer = Slow(clock, 0.0, [job])
    observer.shown = [JobView(job, "running", None, {"steps_per_second": job.training.max_steps / 240})]
    with Display(observer, console, 2, clock).open() as display:
        display.refresh()
        display.refresh("saving 1 job, up to 30 s; again: ends at once")
        clock.now += 1.0
        display.refresh("saving 1 job, up to 29 s; again: ends at once")
        lines = written(console).splitlines()
    assert [line.rpartition("running, ")[2] for line in lines] == [
        "about 4 min to go",
        "saving 1 job, up to 30 s; again: ends at once",
    ]
