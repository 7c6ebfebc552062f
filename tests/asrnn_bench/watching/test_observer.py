import json
from collections import Counter
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.jobs import result_file
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.watching import observer as snapshot
from asrnn_bench.watching.observer import NEXT_IN_LINE, JobView, Observer


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


def test_a_job_that_waits_with_a_checkpoint_has_its_steps_behind_it(tmp_path: Path, recurrent: list[Job]) -> None:
    observer = written(tmp_path, recurrent[:2])
    steps = recurrent[0].training.steps
    folder = observer.directories[0].checkpoints
    folder.mkdir()
    (folder / f"step-{steps // 2:08d}.ckpt").touch()
    assert [(view.state, view.fraction) for view in observer.look()] == [("waiting", 0.5), ("waiting", 0.0)]


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


def test_many_results_are_read_once_and_no_digest_is_compared(
    tmp_path: Path, recurrent: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in recurrent[:3]:
        directory = JobDirectory.of(tmp_path, job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    waiting = JobDirectory.of(tmp_path, recurrent[3])
    waiting.write_job(recurrent[3])
    read: list[Path] = []

    def note(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr(result_file, "read_file", note)
    monkeypatch.setattr(result_file, "read_record", lambda text: pytest.fail("a digest was compared"))
    observer, faults = Observer.below(tmp_path)
    assert faults == []
    seen = [(view.state, view.accuracy, view.train_seconds, view.attempt) for view in observer.views]
    assert seen.count(("done", 0.5, 25.0, 1)) == 3
    assert seen.count(("waiting", None, None, None)) == 1
    counted = Counter(path for path in read if path.name == "result.json" and path.exists())
    assert set(counted.values()) == {1}
    assert len(counted) == 3


@pytest.mark.parametrize(
    "changed",
    [
        '"status": "failed"',
        '"status": "diverged"',
        '"test_accuracy": true',
        '"test_accuracy": 1.5',
        '"train_seconds": -1.0',
        '"attempt": "first"',
        '"reason": 5',
        '"scores": []',
        '"cost": 3',
    ],
)
def test_a_result_that_looks_odd_is_read_with_care(tmp_path: Path, recurrent: list[Job], changed: str) -> None:
    directory = JobDirectory.of(tmp_path, recurrent[0])
    directory.write_job(recurrent[0])
    directory.publish(done(recurrent[0], 0.5), directory.claim())
    value = json.loads((directory.path / "result.json").read_text())
    name, new = next(iter(json.loads(f"{{{changed}}}").items()))
    part = next(part for part in (value, value["scores"], value["cost"]) if name in part)
    part[name] = new
    (directory.path / "result.json").write_text(json.dumps(value))
    observer, _ = Observer.below(tmp_path)
    (view,) = observer.views
    assert view.state == "failed"
    assert "run again with --retry-failed" in str(view.reason)
