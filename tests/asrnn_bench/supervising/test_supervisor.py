"""One job under its supervisor: file errors that pass are waited out, and what cannot be killed costs its place."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import done
from failing_disk import PASSING, FailingDisk

from asrnn_bench.jobs import ends
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import RULES
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot
from asrnn_bench.records.job import Job
from asrnn_bench.supervising import heartbeat
from asrnn_bench.supervising import supervisor as supervision
from asrnn_bench.supervising.forked import Forked, Template
from asrnn_bench.supervising.heartbeat import AwakeClock
from asrnn_bench.supervising.supervisor import Supervisor

OPTIONS = Options(look_seconds=0.01, hang_seconds=60.0, grace_seconds=0.05, loggers=())


class Worker:
    """A worker that does what a test wants."""

    def __init__(self, code: int | None = None, *, mortal: bool = True) -> None:
        self.code, self.mortal = code, mortal
        self.asked: list[int] = []
        self.ends = 0

    def poll(self) -> int | None:
        return self.code

    def ask(self, number: int) -> None:
        self.asked.append(number)

    def end(self) -> None:
        self.ends += 1
        if self.code is None and self.mortal:
            self.code = -signal.SIGKILL


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
def test_a_file_server_that_is_gone_for_good_ends_its_job_and_no_other(
    directories: list[JobDirectory], jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = dict(zip([each.path for each in directories], jobs, strict=False))
    disk = FailingDisk(monkeypatch, directories[1].path, PASSING[1])
    disk.failing = True
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.01)

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


def test_a_forked_worker_that_cannot_be_killed_costs_no_other_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from asrnn_bench.supervising import forked as warm

    template = Template({})
    ended: list[str] = []
    monkeypatch.setattr(Template, "read", lambda self: None)
    monkeypatch.setattr(Template, "give_up", lambda self: ended.append("template"))
    monkeypatch.setattr(warm, "kill_tree", lambda pid, *, ended: None)
    monkeypatch.setattr(warm, "WAIT_SECONDS", 0.0)
    worker = Forked(template)
    worker.runs_as(os.getpid())  # a process that is not gone
    worker.end()
    time.sleep(0.01)
    assert worker.poll() is None
    assert not ended
    gone = Forked(template)
    gone.runs_as(2**22 + 1)  # a process that has ended, of which the template says nothing
    gone.end()
    time.sleep(0.01)
    gone.poll()
    assert ended == ["template"]


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
