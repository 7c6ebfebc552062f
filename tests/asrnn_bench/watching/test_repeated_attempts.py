from pathlib import Path

from bench_support import done

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.records.job import Job
from asrnn_bench.watching.observer import Observer
from asrnn_bench.watching.repeated_attempts import repeated_attempts


def test_jobs_of_more_than_one_attempt_say_why(tmp_path: Path, jobs: list[Job]) -> None:
    directories = [JobDirectory.of(tmp_path, job) for job in jobs[:4]]
    for directory, job in zip(directories, jobs, strict=False):
        directory.write_job(job)
    once, again, failed, running = directories
    once.publish(done(jobs[0], 0.5), once.claim())
    again.claim().write_end(End(75, "preempted", "asked to stop"))
    again.claim().write_end(End(-9, "killed", "killed by signal 9"))
    third = again.claim()
    again.publish(done(jobs[1], 0.5).model_copy(update={"attempt": 3}), third)
    third.write_end(End(0, "done", ""))
    for _ in range(2):
        failed.claim().write_end(End(70, "exception", "ValueError: no"))
    running.claim()
    observer = Observer(directories, jobs[:4])
    first, second = repeated_attempts(observer, observer.look())
    assert (first.attempts, first.why, first.last_reason) == (3, ("preempted", "killed"), "killed by signal 9")
    assert first.line == f"{jobs[1].label}: 3 attempts: preempted, killed; the last: killed by signal 9"
    assert second.line == f"{jobs[2].label}: 2 attempts: exception (2); the last: ValueError: no"


def test_an_attempt_that_ended_without_a_word_was_killed(tmp_path: Path, jobs: list[Job]) -> None:
    directory = JobDirectory.of(tmp_path, jobs[0])
    directory.write_job(jobs[0])
    for number in (1, 2):
        assert directory.claim() == Attempt(number, directory.path / "attempts" / f"{number:03d}")
    (directory.path / "attempts" / "001" / "claim.json").unlink()
    observer = Observer([directory], jobs[:1])
    (found,) = repeated_attempts(observer, observer.look())
    assert found.why == ("killed",)  # the first; the second one runs
