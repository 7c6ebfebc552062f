"""One job under its supervisor: file errors that pass are waited out, and what cannot be killed costs its place."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bench_support import done
from failing_disk import PASSING, FailingDisk
from fake_workers import IMPATIENT as OPTIONS
from fake_workers import Worker

from asrnn.errors import UsageError
from asrnn_bench.jobs import ends
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import RULES
from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job
from asrnn_bench.supervising import heartbeat
from asrnn_bench.supervising import supervisor as supervision
from asrnn_bench.supervising.heartbeat import AwakeClock
from asrnn_bench.supervising.supervise import supervise
from asrnn_bench.supervising.supervisor import Supervisor


def started(directory: JobDirectory, worker: Worker, options: Options = OPTIONS) -> Supervisor:
    supervisor = Supervisor(directory, options, lambda *_: worker)
    assert supervisor.start({}) == "started"
    return supervisor


def watch(supervisor: Supervisor, until: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Watch until something is so, and return whether there is still something to watch."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        if not supervisor.watch():
            return False
    return True


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses of seconds."""
    monkeypatch.setitem(RULES, "disk", replace(RULES["disk"], pause_seconds=0.01))
    monkeypatch.setattr(ends, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.01)


@pytest.mark.parametrize("number", PASSING, ids=os.strerror)
def test_a_file_server_that_fails_for_a_while_ends_no_attempt(
    number: int, directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, worker = directories[0], Worker()
    supervisor = started(directory, worker)
    attempt = directory.attempts()[0]
    disk = FailingDisk(monkeypatch, directory.path, number)
    disk.failing = True
    assert watch(supervisor, lambda: disk.failures > 20)
    assert not worker.asked
    disk.failing = False
    directory.publish(done(jobs[0], 0.5), attempt)
    worker.code, disk.failing = 0, True
    before = disk.failures
    assert watch(supervisor, lambda: disk.failures > before + 20)  # nobody knows yet whether there is a result
    disk.failing = False
    assert not supervisor.watch()
    assert directory.is_done()
    assert not supervisor.last_words


@pytest.mark.parametrize("number", PASSING, ids=os.strerror)
def test_a_job_whose_directory_cannot_be_read_is_started_when_it_can(
    number: int, directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch, directories[0].path, number)
    supervisor = Supervisor(directories[0], OPTIONS, lambda *_: Worker())
    disk.failing = True
    assert [supervisor.start({}) for _ in range(5)] == ["held"] * 5
    assert supervisor.is_held()
    disk.failing = False
    assert supervisor.start({}) == "started"


@pytest.mark.usefixtures("quick")
def test_a_disk_that_failed_is_tried_again_after_a_pause_and_in_the_end_by_the_next_run(
    directories: list[JobDirectory],
) -> None:
    workers = [Worker(72) for _ in range(20)]
    used: list[Worker] = []

    def start(*_: Any) -> Worker:
        used.append(workers.pop())
        return used[-1]

    supervisor = Supervisor(directories[0], OPTIONS, start)
    assert supervisor.start({}) == "started"
    assert not watch(supervisor, lambda: False)
    assert len(used) == 7
    assert [end.kind for end in directories[0].ends()] == ["disk"] * len(used)
    assert not directories[0].is_given_up(OPTIONS.retries)
    assert directories[0].state()[0] == "failed"


@pytest.mark.usefixtures("quick")
def test_a_worker_that_could_not_be_started_for_a_passing_error_is_started_again(
    directories: list[JobDirectory],
) -> None:
    worker, errors = Worker(), [OSError(each, os.strerror(each)) for each in PASSING[:3]]

    def start(*_: Any) -> Worker:
        if errors:
            raise errors.pop()
        return worker

    supervisor = Supervisor(directories[0], OPTIONS, start)
    assert supervisor.start({}) == "started"
    assert watch(supervisor, lambda: len(directories[0].attempts()) == 4)
    assert [end.kind for end in directories[0].ends()] == ["disk"] * 3


def test_a_directory_that_is_removed_while_its_job_runs_is_one_line(directories: list[JobDirectory]) -> None:
    import shutil

    worker = Worker()
    supervisor = started(directories[0], worker)
    shutil.rmtree(directories[0].path)
    for _ in range(20):
        time.sleep(0.002)
        assert supervisor.watch()
    worker.code = 70
    assert not supervisor.watch()
    assert "could not be written" in supervisor.last_words


def test_what_cannot_be_killed_is_given_up_and_said(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LONGEST_DEATH_SECONDS", 0.1)
    worker = Worker(mortal=False)
    supervisor = started(directories[0], worker, OPTIONS.model_copy(update={"hang_seconds": 0.02}))
    assert not watch(supervisor, lambda: False)
    assert worker.asked == [signal.SIGTERM]
    assert worker.ends > 1
    assert supervisor.stuck
    assert not supervisor.is_gone()
    state, reason = directories[0].state()
    assert state == "failed"
    assert str(reason).startswith("nothing moved for ")
    assert "could not be killed" in str(reason)
    assert [end.kind for end in directories[0].ends()] == ["hang"]  # the next run goes on with it
    assert not directories[0].is_given_up(OPTIONS.retries)


def test_suspended_time_is_no_hang_and_no_grace(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    clock = AwakeClock(lambda: now[0])
    for module in (supervision, heartbeat):
        monkeypatch.setattr(module, "AWAKE", clock)
    monkeypatch.setattr(supervision.Heartbeat.__init__, "__defaults__", (clock, None))
    worker = Worker()
    options = Options(hang_seconds=30.0, grace_seconds=20.0, time_limit_seconds=100.0, loggers=())
    supervisor = started(directories[0], worker, options)

    def step(seconds: float, times: int = 1) -> None:
        for _ in range(times):
            now[0] += seconds
            assert supervisor.watch()

    step(1.0, 10)
    step(4500.0)  # all were stopped: the worker, its supervisor and their clock
    step(1.0, 10)
    assert not worker.asked
    step(1.0, 12)  # the supervisor runs, and the worker does not
    assert worker.asked == [signal.SIGTERM]
    step(4500.0)
    step(1.0, 10)
    assert not worker.ends
    step(1.0, 12)
    assert worker.ends


def test_a_start_that_takes_processor_time_is_no_hang(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, taken = [0.0], [0.0]
    clock = AwakeClock(lambda: now[0])
    monkeypatch.setattr(supervision, "AWAKE", clock)
    monkeypatch.setattr(supervision.Heartbeat.__init__, "__defaults__", (clock, None))
    monkeypatch.setattr(supervision, "processor_seconds", lambda process: taken[0])
    worker = Worker()
    supervisor = started(directories[0], worker, Options(hang_seconds=10.0, loggers=()))
    for _ in range(60):
        now[0], taken[0] = now[0] + 1.0, taken[0] + 0.01
        supervisor.watch()
    assert not worker.asked
    directories[0].write_progress({"attempt": 1, "seq": 1})
    for _ in range(12):
        now[0], taken[0] = now[0] + 1.0, taken[0] + 1.0  # a training that spins is one that hangs
        supervisor.watch()
    assert worker.asked == [signal.SIGTERM]


def test_a_killed_rank_is_out_of_memory_where_linux_says_so_however_late_its_peers_end(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asrnn_bench.supervising import out_of_memory as oom

    kills = [3]
    monkeypatch.setattr(oom, "oom_kills", lambda proc=None: kills[0])
    monkeypatch.setattr(oom, "WINDOW_SECONDS", 0.0)
    ranks = [Worker(), Worker()]
    left = list(ranks)
    options = OPTIONS.model_copy(update={"devices_per_job": 2})
    supervisor = Supervisor(directories[0], options, lambda *_: left.pop(0))
    assert supervisor.start({}) == "started"
    for _ in range(5):
        time.sleep(0.011)
        supervisor.watch()
    kills[0], ranks[1].code = 4, -9
    for _ in range(5):
        time.sleep(0.011)
        supervisor.watch()
    ranks[0].code = 1
    assert not watch(supervisor, lambda: False)
    assert [end.kind for end in directories[0].ends()] == ["out-of-memory"]


@pytest.mark.usefixtures("quick")
def test_supervise_starts_processes_with_the_given_function(directories: list[JobDirectory]) -> None:
    started: list[tuple[Any, ...]] = []

    def start(*given: Any) -> Worker:
        started.append(given)
        raise UsageError("that is all")

    assert supervise(str(directories[0].path), OPTIONS, say=lambda line: None, start=start) == 0
    ((words, _, log),) = started
    assert words[-1] == str(directories[0].path)
    assert log.name == "worker.log"
