"""The Ray launcher without Ray: what is asked of it, and what follows from each way in which a task can end."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench_support import done

from asrnn.errors import UsageError
from asrnn_bench.records import Job
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers import ray_cluster, ray_tasks
from asrnn_bench.running.launchers.ray_cluster import RayRequest, check_ray, connected
from asrnn_bench.running.launchers.ray_nodes import UNIT, Share, check_nodes, room_for, share_of
from asrnn_bench.running.launchers.ray_tasks import MOST_LOSSES, run_ray, supervise_job
from asrnn_bench.running.options import Options

HERE = Options(grace_seconds=0.1, retries=2)


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("a traceback of many lines")
        self.cause = cause


class OutOfMemoryError(RayError):
    pass


class TaskCancelledError(RayError):
    pass


class FakeRay:
    """As much of Ray as the launcher uses; what each task does is a function of its job directory."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        OutOfMemoryError=OutOfMemoryError,
        TaskCancelledError=TaskCancelledError,
    )

    def __init__(self, *tasks: Callable[[JobDirectory], object]) -> None:
        self.tasks, self.started = list(tasks), 0
        self.cancelled: list[tuple[int, bool]] = []
        self.most_at_a_time = 0
        self._open: dict[int, JobDirectory] = {}
        self._endless: set[int] = set()

    def remote(self, **_: object) -> Callable[[object], SimpleNamespace]:
        return lambda function: SimpleNamespace(remote=self._start)

    def _start(self, path: str, options: dict[str, Any], environment: dict[str, str]) -> int:
        assert Options.model_validate(options) == HERE
        assert Path(path).is_absolute()
        self.started += 1
        self._open[self.started] = JobDirectory(Path(path))
        self.most_at_a_time = max(self.most_at_a_time, len(self._open))
        return self.started

    def wait(self, references: list[int], **_: object) -> tuple[list[int], list[int]]:
        ended = [each for each in references if self._task(each) is not endless]
        return ended, [each for each in references if each not in ended]

    def _task(self, reference: int) -> Callable[[JobDirectory], object]:
        return self.tasks[min(reference, len(self.tasks)) - 1]

    def get(self, reference: int) -> object:
        return self._task(reference)(self._open.pop(reference))

    def cancel(self, reference: int, *, force: bool, recursive: bool) -> None:
        self.cancelled.append((reference, force))


def endless(directory: JobDirectory) -> object:
    raise AssertionError("it does not end")


def finishes(directory: JobDirectory) -> object:
    directory.publish(done(directory.job(), 0.5), directory.claim())
    return 0, ""


def raising(error: Exception, *, claims: bool = True) -> Callable[[JobDirectory], object]:
    def task(directory: JobDirectory) -> object:
        if claims:
            directory.claim()
        raise error

    return task


@pytest.fixture
def waiting(tmp_path: Path, jobs: list[Job]) -> list[JobDirectory]:
    """Two jobs that a runner has made ready."""
    found = [JobDirectory.of(tmp_path, job) for job in jobs[:2]]
    for directory, job in zip(found, jobs, strict=False):
        directory.write_job(job)
        directory.wait()
    return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, waiting: list[JobDirectory]) -> Callable[..., dict[JobDirectory, str]]:
    """Run the first job, or both, on a Ray that is told how its tasks end."""

    def start(
        ray: FakeRay, *, both: bool = False, watch: Callable[[], None] = lambda: None, **settings: Any
    ) -> dict[JobDirectory, str]:
        @contextmanager
        def joined(request: RayRequest, devices_per_job: int) -> Iterator[FakeRay]:
            yield ray

        monkeypatch.setattr(ray_tasks, "connected", joined)
        monkeypatch.setattr(ray_tasks, "check_nodes", lambda *_: Share(0, 1))
        monkeypatch.setattr(ray_tasks, "STOP_SECONDS", 0.1)
        return run_ray(waiting if both else waiting[:1], HERE, RayRequest(**settings), watch)

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


def test_a_job_whose_tasks_are_always_lost_fails_as_the_policy_says(
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
def test_what_ray_ends_for_want_of_memory_is_not_tried_again(
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
def test_a_task_that_never_comes_to_an_attempt_is_given_up(
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


def test_what_cannot_be_written_is_returned(
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


def test_an_interrupt_asks_first_and_then_insists(run: Callable[..., object], waiting: list[JobDirectory]) -> None:
    ray = FakeRay(endless)

    def interrupted() -> None:
        if not ray.cancelled:
            waiting[0].claim()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ray, watch=interrupted)
    assert ray.cancelled == [(1, False), (1, True)]
    end = waiting[0].attempts()[0].ended()
    assert end is not None
    assert (end.kind, end.reason) == ("preempted", "ended with its run")


def test_a_node_without_the_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_tasks, "SIGHT_SECONDS", 0.0)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a secret")
    status, why = supervise_job(str(tmp_path / "nothing"), HERE.model_dump(mode="json"), {})
    assert status is None
    assert why == (
        f"{os.uname().nodename}: {tmp_path / 'nothing'} is no job directory on this host: "
        "jobs and workers need a shared file system"
    )
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("address", ["auto", "node1", "ray://node1:10001", "node1:port", "http://node1:8265", ":6379"])
def test_an_address_is_a_host_and_a_port(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    with pytest.raises(UsageError, match="--ray-address takes HOST:PORT"):
        check_ray(RayRequest(address))


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"no Ray cluster answers at {address}"):
            check_ray(RayRequest(address))


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'pip install "asrnn-bench\[ray\]"'):
        check_ray(RayRequest())


def test_a_local_cluster_is_never_somebody_elses_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Ray:
        @staticmethod
        def is_initialized() -> bool:
            return False

        @staticmethod
        def init(**settings: object) -> None:
            seen.update(settings, variables=dict(os.environ))

        @staticmethod
        def shutdown() -> None:
            seen["ended"] = True

    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    monkeypatch.setattr(ray_cluster, "import_module", lambda _: Ray)
    with connected(RayRequest(threads=3), 2):
        pass
    assert (seen["address"], seen["num_cpus"], seen["num_gpus"], seen["include_dashboard"]) == ("local", 6, 2, False)
    assert seen["variables"]["RAY_USAGE_STATS_ENABLED"] == "1"  # what the user has set stays
    assert len(seen["variables"]["RAY_AUTH_TOKEN"]) == 64
    assert seen["ended"]
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_as_many_jobs_share_a_device_as_asked() -> None:
    for count in range(1, 60):
        share = share_of(RayRequest(jobs_per_device=count), 1, has_gpus=True)
        parts = round(share.gpus * UNIT)
        assert share.gpus * UNIT == pytest.approx(parts, abs=1e-6)
        assert UNIT // parts == count


def test_a_job_takes_what_was_asked_for() -> None:
    assert share_of(RayRequest(threads=4), 2, has_gpus=True) == Share(2, 8)
    assert share_of(RayRequest(threads=4), 2, has_gpus=False) == Share(0, 8)
    with pytest.raises(UsageError, match="several devices or shares one"):
        share_of(RayRequest(jobs_per_device=2), 2, has_gpus=True)
    with pytest.raises(UsageError, match="--devices-per-job 2 is more than --devices 1"):
        share_of(RayRequest(devices=1), 2, has_gpus=True)


def test_a_job_without_gpus_sees_none() -> None:
    assert Share(0, 1).environment(2) == {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }
    assert "CUDA_VISIBLE_DEVICES" not in Share(1, 1).environment(2)  # Ray names them


def test_a_cluster_whose_nodes_are_too_small_is_refused(waiting: list[JobDirectory]) -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    assert check_nodes(ray, RayRequest(), 1, waiting[0]) == Share(1, 1)
    with pytest.raises(UsageError, match="no node of the Ray cluster has 2 GPUs and 2 CPUs"):
        check_nodes(ray, RayRequest(), 2, waiting[0])
    assert room_for(ray, Share(1, 1))
    assert not room_for(ray, Share(8, 8))  # but on a node that is gone
