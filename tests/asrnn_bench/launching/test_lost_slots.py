"""A worker that cannot be killed, or a directory that cannot be read, costs its slot or its job and no other."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from bench_support import done
from failing_disk import PASSING, FailingDisk
from fake_workers import IMPATIENT as OPTIONS
from fake_workers import Worker

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching import local
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot
from asrnn_bench.records.job import Job
from asrnn_bench.supervising import supervisor as supervision
from asrnn_bench.supervising.forked import Template


def test_a_file_server_that_is_gone_for_good_ends_its_job_and_no_other(
    directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = dict(zip([each.path for each in directories], jobs, strict=False))
    disk = FailingDisk(monkeypatch, directories[1].path, PASSING[1])
    disk.failing = True
    for module in (local, supervision):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)

    def start(self: Template, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Worker:
        directory = JobDirectory(Path(words[-1]))
        directory.publish(done(by_path[directory.path], 0.5), directory.attempts()[-1])
        return Worker(0)

    monkeypatch.setattr(Template, "start", start)
    last_words = run_local(directories, [SLOT], OPTIONS.model_copy(update={"hang_seconds": 0.5}))
    assert list(last_words) == [directories[1]]
    assert os.strerror(PASSING[1]) in last_words[directories[1]]
    disk.failing = False
    assert [each.is_done() for each in directories] == [True, False, True, True, True]


def _workers_by_turns(monkeypatch: pytest.MonkeyPatch, jobs: Mapping[Path, Job], stuck: int) -> list[Worker]:
    """Let the first workers be such that cannot be killed, and the others come to a result at once."""
    found: list[Worker] = []

    def start(self: Template, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Worker:
        directory = JobDirectory(Path(words[-1]))
        if len(found) < stuck:
            found.append(Worker(mortal=False))
        else:
            directory.publish(done(jobs[directory.path], 0.5), directory.attempts()[-1])
            found.append(Worker(0))
        return found[-1]

    monkeypatch.setattr(Template, "start", start)
    monkeypatch.setattr(supervision, "LONGEST_DEATH_SECONDS", 0.1)
    return found


SLOT = Slot("a core", (("CUDA_VISIBLE_DEVICES", ""),))
IMPATIENT = OPTIONS.model_copy(update={"hang_seconds": 0.05})


def test_a_worker_that_cannot_be_killed_costs_its_slot_and_not_the_run(
    directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    _workers_by_turns(monkeypatch, dict(zip([each.path for each in directories], jobs, strict=False)), 1)
    run_local(directories, [SLOT, SLOT], IMPATIENT, say=said.append)
    assert [each.is_done() for each in directories] == [False, True, True, True, True]
    (line,) = said
    assert "cannot be killed: its place is given up, 1 of 2 are left" in line
    assert directories[0].state()[0] == "failed"


def test_without_a_slot_the_run_ends_with_a_line(
    directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    _workers_by_turns(monkeypatch, {}, 2)
    last_words = run_local(directories, [SLOT, SLOT], IMPATIENT, say=said.append)
    assert said[-1] == "no place is left to run jobs on: 3 of them are not started"
    assert {each for each, words in last_words.items() if words.startswith("not started")} == set(directories[2:])


def test_a_slot_whose_worker_is_gone_at_last_is_used_again(
    directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = _workers_by_turns(monkeypatch, dict(zip([each.path for each in directories], jobs, strict=False)), 1)

    def say(line: str) -> None:
        workers[0].code = -9

    run_local(directories[:3], [SLOT], IMPATIENT, say=say)
    assert [each.is_done() for each in directories[:3]] == [False, True, True]


def test_a_second_interrupt_ends_a_run_whose_worker_cannot_be_killed(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = _workers_by_turns(monkeypatch, {}, 5)
    monkeypatch.setattr(local, "LONGEST_KILL_SECONDS", 0.1)
    monkeypatch.setattr(supervision, "LONGEST_DEATH_SECONDS", 1e6)
    calls: Iterator[int] = iter(range(1000))

    def interrupt(stopping: str = "") -> None:
        if next(calls) in (2, 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local(directories, [SLOT, SLOT], OPTIONS.model_copy(update={"grace_seconds": 1e6}), watch=interrupt)
    assert [worker.ends > 0 for worker in workers] == [True, True]
