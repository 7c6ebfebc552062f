"""Every way in which a Ray task can end leads to a result, another start or a failure, tried on a fake Ray."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_ray import (
    HERE,
    FakeRay,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    endless,
    finishes,
    raising,
)

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.ray import launcher as ray_launcher
from asrnn_bench.launching.ray import task as ray_task
from asrnn_bench.launching.ray import tasks as ray_tasks
from asrnn_bench.launching.ray.launcher import RayLauncher
from asrnn_bench.launching.ray.nodes import Share
from asrnn_bench.launching.ray.task import supervise_job
from asrnn_bench.launching.ray.tasks import MOST_LOSSES
from asrnn_bench.launching.watch import Watch, unwatched
from asrnn_bench.supervising.supervise import supervise


@pytest.fixture
def waiting(directories: list[JobDirectory]) -> list[JobDirectory]:
    """Two of them."""
    return directories[:2]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, waiting: list[JobDirectory]) -> Callable[..., dict[JobDirectory, str]]:
    """Run the first job, or both, on a Ray that is told how its tasks end."""

    def start(
        ray: FakeRay, *, both: bool = False, watch: Watch = unwatched, **settings: Any
    ) -> dict[JobDirectory, str]:
        @contextmanager
        def joined(address: str, num_cpus: int, num_gpus: int) -> Iterator[FakeRay]:
            yield ray

        monkeypatch.setattr(ray_launcher, "check_ray", lambda address: None)
        monkeypatch.setattr(ray_launcher, "connected", joined)
        monkeypatch.setattr(ray_launcher, "check_nodes", lambda *_: Share(0, 1))
        monkeypatch.setattr(ray_tasks, "STOP_SECONDS", 0.1)
        launcher = RayLauncher(LaunchSettings("ray", ray_address="node1:6379", **settings), threads=1)
        return launcher.run(waiting if both else waiting[:1], HERE, watch)

    return start


def test_a_task_that_ray_loses_is_written_down_and_started_again(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(raising(RayError("The worker died.\nMore of it.")), finishes)
    assert run(ray) == {}
    assert ray.started == 2
    end = waiting[0].attempts()[0].ended()
    assert end is not None
    assert (end.kind, end.reason) == ("killed", "Ray lost its task: The worker died.")
    assert waiting[0].state() == ("done", None)


def test_a_worker_is_told_how_many_jobs_share_its_device(run: Callable[..., object]) -> None:
    ray = FakeRay(finishes)
    run(ray, jobs_per_device=3)
    assert ray.environment["ASRNN_BENCH_JOBS_PER_DEVICE"] == "3"


def test_a_job_whose_tasks_are_always_lost_fails_after_all_retries(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(raising(RayError("The node died.")))
    run(ray)
    assert ray.started == 1 + HERE.retries
    assert waiting[0].state() == ("failed", "Ray lost its task: The node died.")


def test_a_task_whose_job_has_its_result_is_done_whatever_ray_says(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    def finishes_and_dies(directory: JobDirectory) -> object:
        finishes(directory)
        raise RayError("The node died.")

    ray = FakeRay(finishes_and_dies)
    run(ray)
    assert ray.started == 1
    assert waiting[0].state() == ("done", None)


@pytest.mark.parametrize("claims", [True, False])
def test_a_task_that_ray_ends_for_lack_of_memory_does_not_start_again(
    run: Callable[..., object], waiting: list[JobDirectory], claims: bool
) -> None:
    ray = FakeRay(raising(OutOfMemoryError("Task was killed due to the node running low on memory."), claims=claims))
    run(ray)
    state, reason = waiting[0].state()
    assert (ray.started, state) == (1, "failed")
    assert reason is not None
    assert reason.startswith("Ray ended it, as the memory of its node ran out: Task was killed")
    kinds = [end.kind for end in (each.ended() for each in waiting[0].attempts()) if end is not None]
    assert kinds == (["out-of-memory"] if claims else [])


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (lambda _: (None, "node7: /runs/x is no job directory on this host"), "node7: /runs/x is no job directory"),
        (raising(RayTaskError(OSError(5, "Input/output error")), claims=False), "its Ray task failed: [Errno 5] Input"),
        (raising(TaskCancelledError("cancelled"), claims=False), "its Ray task was cancelled"),
    ],
)
def test_a_task_that_never_makes_an_attempt_is_given_up(
    run: Callable[..., object], waiting: list[JobDirectory], ending: Callable[[JobDirectory], object], reason: str
) -> None:
    ray = FakeRay(ending)
    run(ray)
    assert ray.started == 1 + MOST_LOSSES
    state, said = waiting[0].state()
    assert state == "failed"
    assert said is not None
    assert said.startswith(reason)


def test_a_task_that_is_asked_to_stop_is_started_again(run: Callable[..., object], waiting: list[JobDirectory]) -> None:
    ray = FakeRay(lambda directory: (directory.claim() and 75, ""), finishes)
    run(ray)
    assert (ray.started, waiting[0].state()[0]) == (2, "done")


def test_a_job_that_is_settled_without_a_result_is_not_started_again(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(lambda _: (0, ""))
    run(ray)
    assert ray.started == 1


def test_a_reason_that_cannot_be_written_is_returned(
    run: Callable[..., dict[JobDirectory, str]], waiting: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JobDirectory, "wait", full)
    said = run(FakeRay(raising(RayError("The node died."))))
    assert said[waiting[0]].startswith("Ray lost its task: The node died.; its end could not be written: [Errno 28]")


def test_no_more_tasks_are_handed_out_than_devices_were_asked_for(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(finishes)
    run(ray, both=True, devices=1)
    assert (ray.started, ray.most_at_a_time) == (2, 1)


def test_an_interrupt_cancels_tasks_gently_and_then_by_force(
    run: Callable[..., object], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(endless)

    said: list[str] = []

    def interrupted(stopping: str = "", /) -> None:
        said.append(stopping)
        if not ray.cancelled:
            waiting[0].claim()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ray, watch=interrupted)
    assert ray.cancelled == [(1, False), (1, True)]
    assert any(line.startswith("saving 1 job, up to ") for line in said)
    end = waiting[0].attempts()[0].ended()
    assert end is not None
    assert (end.kind, end.reason) == ("preempted", "ended with its run")


def test_a_node_without_the_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_task, "SIGHT_SECONDS", 0.0)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a secret")
    status, why = supervise_job(str(tmp_path / "nothing"), HERE.model_dump(mode="json"), {})
    assert status is None
    assert why == (
        f"{os.uname().nodename}: {tmp_path / 'nothing'} is no job directory on this host: "
        "jobs and workers need a shared file system"
    )
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", ["is_done", "attempts", "wait"])
def test_a_directory_that_cannot_be_read_for_a_while_is_looked_at_again(
    run: Callable[..., dict[JobDirectory, str]],
    waiting: list[JobDirectory],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
) -> None:
    ray = FakeRay(raising(RayError("The worker died."), claims=False), finishes)
    method, failed = getattr(JobDirectory, name), 0

    def fails(directory: JobDirectory, *given: Any) -> Any:
        nonlocal failed
        if failed < 3 and (ray.started == 1 or name == "attempts"):
            failed += 1
            raise OSError(number, os.strerror(number))
        return method(directory, *given)

    monkeypatch.setattr(JobDirectory, name, fails)
    monkeypatch.setattr(ray_tasks, "POLL_SECONDS", 0.0)
    assert run(ray) == {}
    assert (failed, ray.started) == (3, 2)
    assert waiting[0].state() == ("done", None)


def test_two_passing_errors_far_apart_do_not_give_a_job_up(
    run: Callable[..., dict[JobDirectory, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(raising(RayError("The worker died."), claims=False), finishes)
    is_done, attempts, fill = JobDirectory.is_done, JobDirectory.attempts, ray_tasks.Tasks._fill
    now, failed, filling = [0.0], [], []

    def fail(name: str) -> None:
        failed.append(name)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def is_done_fails_once(directory: JobDirectory) -> bool:
        if ray.started == 1 and not failed:
            fail("is_done")
        return is_done(directory)

    def attempts_fail_once(directory: JobDirectory) -> Any:
        if filling and failed == ["is_done"]:
            now[0] += 2 * ray_tasks.UNREAD_SECONDS  # the job waited so long for its turn
            fail("attempts")
        return attempts(directory)

    def fills(tasks: ray_tasks.Tasks) -> None:
        filling.append(True)
        fill(tasks)
        filling.clear()

    monkeypatch.setattr(JobDirectory, "is_done", is_done_fails_once)
    monkeypatch.setattr(JobDirectory, "attempts", attempts_fail_once)
    monkeypatch.setattr(ray_tasks.Tasks, "_fill", fills)
    monkeypatch.setattr(ray_tasks.Tasks, "_look_for_room", lambda tasks, say: None)
    monkeypatch.setattr(ray_tasks, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: None))
    assert run(ray) == {}
    assert (failed, ray.started) == (["is_done", "attempts"], 2)


def test_a_directory_that_stays_unreadable_stops_no_other_job(
    run: Callable[..., dict[JobDirectory, str]], waiting: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_done = JobDirectory.is_done

    def fails(directory: JobDirectory) -> bool:
        if directory == waiting[0]:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return is_done(directory)

    monkeypatch.setattr(JobDirectory, "is_done", fails)
    monkeypatch.setattr(ray_tasks, "UNREAD_SECONDS", 0.0)
    words = run(FakeRay(raising(RayError("The worker died.")), finishes), both=True)
    assert list(words) == waiting[:1]
    assert "Stale file handle" in words[waiting[0]]
    assert is_done(waiting[1])


def test_a_directory_that_can_never_be_read_does_not_keep_the_run_from_ending(
    run: Callable[..., dict[JobDirectory, str]], waiting: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, failed = JobDirectory.attempts, 0

    def fails(directory: JobDirectory) -> Any:
        nonlocal failed
        if directory == waiting[0] and failed < 2000:  # without a bound, it is started in the end
            failed += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return attempts(directory)

    monkeypatch.setattr(JobDirectory, "attempts", fails)
    monkeypatch.setattr(ray_tasks, "UNREAD_SECONDS", 0.01)
    monkeypatch.setattr(ray_tasks, "POLL_SECONDS", 0.001)
    words = run(FakeRay(finishes), both=True)
    assert words == {waiting[0]: "its directory cannot be read: [Errno 5] Input/output error"}
    assert waiting[1].is_done()


def test_what_a_supervisor_could_not_write_on_its_node_is_returned(
    run: Callable[..., dict[JobDirectory, str]], waiting: list[JobDirectory]
) -> None:
    ray = FakeRay(lambda directory: (0, "node7: its directory cannot be used: [Errno 13] Permission denied"))
    assert run(ray) == {waiting[0]: "node7: its directory cannot be used: [Errno 13] Permission denied"}
    assert ray.started == 1


def test_a_supervisor_that_cannot_use_its_directory_says_so(
    waiting: list[JobDirectory], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(directory: JobDirectory) -> bool:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(JobDirectory, "is_done", fails)
    monkeypatch.setattr(ray_task, "_stop_with_raylet", lambda raylet: None)
    words = "its directory cannot be used: [Errno 13] Permission denied"
    status, why = supervise_job(str(waiting[0].path), HERE.model_dump(mode="json"), {})
    assert (status, why) == (0, f"{os.uname().nodename}: {words}")
    assert supervise(str(waiting[0].path), HERE) == 0
    assert capfd.readouterr().err == words + "\n"
