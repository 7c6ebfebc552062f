import io
from pathlib import Path

import pytest
from bench_support import done
from rich.console import Console

from asrnn_bench.records import Job
from asrnn_bench.running.display import SHOW_INTERVAL_SECONDS, SHOW_SHARE, Display
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.snapshot import JobView, Observer


class Clock:
    """Seconds that pass when somebody says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(Observer):
    """Takes its time to look, on a clock of its own."""

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
    with Display(Observer(directories, jobs[:3]), console, 2).open() as display:
        directories[1].publish(done(jobs[1], 0.5), directories[1].claim())
        display.refresh()
        directories[2].skip("failed", "no reason")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert jobs[0].label not in said
    assert said.count(f"{jobs[1].label}: test accuracy 50.0%") == 1
    assert said.count(f"{jobs[2].label}: no reason") == 1
