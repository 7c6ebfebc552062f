"""Test that progress is seen by its own numbers, whatever the clocks of files and hosts say (case 18)."""

import os
from pathlib import Path

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.supervising.heartbeat import Heartbeat

DAY = 86400.0


def _directory(folder: Path, job: Job) -> JobDirectory:
    directory = JobDirectory.of(folder, job)
    directory.write_job(job)
    return directory


def _age(directory: JobDirectory, seconds: float) -> None:
    for file in directory.path.rglob("*.json"):
        stat = file.stat()
        os.utime(file, (stat.st_atime - seconds, stat.st_mtime - seconds))


def test_stillness_is_counted_by_the_observer_s_own_clock(tmp_path: Path, jobs: list[Job]) -> None:
    directory, now = _directory(tmp_path, jobs[-1]), [100.0]
    attempt = directory.claim()
    pulse = Heartbeat(directory, clock=lambda: now[0])
    now[0] += 50
    assert pulse.still_for() == 50
    for sequence, age in ((1, DAY), (2, -DAY), (3, 0)):
        directory.write_progress({"attempt": attempt.number, "seq": sequence})
        _age(directory, age)  # the writer's clock is a day off, either way
        now[0] += 7
        assert pulse.still_for() == 0
        now[0] += 5
        assert pulse.still_for() == 5
    directory.write_progress({"attempt": attempt.number, "seq": 3})  # written again, and got no further
    assert pulse.still_for() == 5
    directory.write_progress({"attempt": attempt.number + 1, "seq": 9})  # not of this attempt: no sign of life
    assert pulse.still_for() == 5


def test_a_clock_that_is_set_makes_no_living_attempt_dead_and_no_dead_one_alive(
    tmp_path: Path, jobs: list[Job]
) -> None:
    directory = _directory(tmp_path, jobs[-1])
    attempt = directory.claim()
    for age in (DAY, -2 * DAY):
        _age(directory, age)
        assert attempt.lives()
        assert directory.state()[0] == "running"
    claim = attempt.path / "claim.json"
    claim.write_text(claim.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    for age in (DAY, -2 * DAY):
        _age(directory, age)
        assert not attempt.lives()
