from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.records import Job
from asrnn_bench.running import snapshot
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.snapshot import (
    NEXT_IN_LINE,
    JobView,
    Observer,
)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[JobDirectory]:
    """The directories that are looked into, in their order."""
    seen: list[JobDirectory] = []
    look = snapshot._view_of

    def note(directory: JobDirectory, job: Job | None = None) -> JobView:
        seen.append(directory)
        return look(directory, job)

    monkeypatch.setattr(snapshot, "_view_of", note)
    return seen


def written(output: Path, jobs: list[Job]) -> Observer:
    """An observer of jobs that wait."""
    directories = [JobDirectory.of(output, job) for job in jobs]
    for directory, job in zip(directories, jobs, strict=True):
        directory.write_job(job)
    return Observer(directories, jobs)


@pytest.fixture
def recurrent(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.model.hidden_size is not None and job.seed == 0]


def test_an_observer_reads_every_job_and_names_what_it_cannot_read(tmp_path: Path, recurrent: list[Job]) -> None:
    for job in recurrent[:3]:
        JobDirectory.of(tmp_path, job).write_job(job)
    (JobDirectory.of(tmp_path, recurrent[0]).path / "job.json").write_text("{")
    observer, faults = Observer.below(tmp_path)
    assert [v.state for v in observer.look()] == ["waiting", "waiting"]
    assert len(faults) == 1
    assert "damaged" in faults[0]


def test_a_good_result_says_what_job_it_is_of(tmp_path: Path, recurrent: list[Job]) -> None:
    directory = JobDirectory.of(tmp_path, recurrent[0])
    directory.write_job(recurrent[0])
    directory.publish(done(recurrent[0], 0.5), directory.claim())
    (directory.path / "job.json").write_text("{")
    observer, faults = Observer.below(tmp_path)
    assert (observer.jobs, faults) == ([recurrent[0]], [])
    (directory.path / "result.json").write_text("{")
    assert len(Observer.below(tmp_path)[1]) == 1


def test_a_damaged_result_is_seen_again_when_it_is_mended(tmp_path: Path, recurrent: list[Job]) -> None:
    observer = written(tmp_path, recurrent[:1])
    (observer.directories[0].path / "result.json").write_text("{")
    assert [v.state for v in observer.look()] == ["failed"]
    (observer.directories[0].path / "result.json").write_text(done(recurrent[0], 0.5).text())
    assert [(v.state, v.accuracy) for v in observer.look()] == [("done", 0.5)]


def test_a_job_with_a_result_is_never_looked_at_again(
    tmp_path: Path, recurrent: list[Job], looked_at: list[JobDirectory]
) -> None:
    observer = written(tmp_path, recurrent[:3])
    first = observer.directories[0]
    observer.look()
    first.publish(done(recurrent[0], 0.5), first.claim())
    observer.look()
    looked_at.clear()
    for _ in range(3):
        observer.look()
    assert first not in looked_at
    assert len(looked_at) == 6


def test_many_waiting_jobs_are_looked_at_in_turns(
    tmp_path: Path, recurrent: list[Job], looked_at: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [recurrent[0].model_copy(update={"seed": seed}) for seed in range(2 * NEXT_IN_LINE)]
    observer = written(tmp_path, jobs)
    observer.look()
    running = observer.directories[-1]
    running.claim()
    observer.look()
    looked_at.clear()
    assert observer.look(0.0)[-1].state == "running"
    assert set(looked_at) == {running, *observer.directories[:NEXT_IN_LINE]}
    # A clock on which each look takes a tenth of a second: four turns fit before 0.35 seconds are over.
    ticks = iter(range(10_000))
    monkeypatch.setattr(snapshot.time, "monotonic", lambda: next(ticks) / 10)
    others: set[JobDirectory] = set()
    for _ in range(len(jobs)):
        looked_at.clear()
        observer.look(0.35)
        assert len(looked_at) <= NEXT_IN_LINE + 1 + 4
        others |= set(looked_at)
    assert others == set(observer.directories)
