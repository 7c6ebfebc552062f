"""Case 21: suites on Ray in a network namespace with loopback alone, while workers, supervisors and nodes are killed.

The waits are for what the process table or a job directory shows, and fail only where it does not come at all.
"""

import json
import os
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_support import TINY
from ray_support import ADDRESS, WAIT_SECONDS, Seen, isolated, plain_environment, ray_cluster, start_run, tasks, workers
from waiting import wait_until

from asrnn_bench.jobs.directory import JobDirectory

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]

BELIEVES = """
from asrnn_bench.worker import gpus as torch_gpus
torch_gpus.require_promised = lambda *_: None
"""
"""Makes workers accept GPUs that do not exist, and train on the CPU."""

JOIN = ("--ray-address", ADDRESS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tiny suite."""
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def directories(folder: Path, output: str = "runs") -> list[JobDirectory]:
    return list(JobDirectory.below(folder / output))


def ends(folder: Path) -> list[dict[str, Any]]:
    """Return how the attempts ended that brought no result."""
    files = sorted((folder / "runs").glob("*/*/*/*/attempts/*/exit.json"))
    return [said for said in (json.loads(file.read_text()) for file in files) if said["kind"] != "done"]


def all_done_once(folder: Path, jobs: int, output: str = "runs") -> None:
    """Check that each job has one result, and that only the attempt of the result published."""
    found = directories(folder, output)
    assert [each.state() for each in found] == [("done", None)] * jobs
    for each in found:
        record = each.result()
        assert record is not None
        assert [a.number for a in each.attempts() if (a.path / "result.json").exists()] == [record.attempt]


def moving() -> Seen | None:
    """A worker that has trained, which the baseline `chance` never does."""
    return next((each for each in workers() if "chance" not in each.job.parts and each.step() > 0), None)


def attempt_after(seen: Seen) -> Seen | None:
    """The worker of a later attempt at the same job."""
    return next((each for each in workers() if each.job == seen.job and each.attempt > seen.attempt), None)


@isolated
def test_every_result_comes_once_whatever_is_killed(folder: Path) -> None:
    """A worker, its supervisor, the runner, and a node; the head has no cores, so that all jobs are on that node."""
    cluster = ray_cluster("--num-cpus=0")
    node = cluster.add("second", f"--address={ADDRESS}", "--num-cpus=2")
    run = ("--models", "rnn", "--max-steps", "120", "--checkpoint-every", "20steps", *JOIN)
    runner = start_run(folder, cluster.environment, *run)

    first = wait_until(moving, "a worker that trains", WAIT_SECONDS)
    psutil.Process(first.pid).kill()
    again = wait_until(lambda: attempt_after(first), "its next attempt", WAIT_SECONDS)
    psutil.Process(again.supervisor).kill()
    wait_until(lambda: attempt_after(again), "the attempt after that", WAIT_SECONDS)

    runner.process.kill()
    runner.process.wait()
    wait_until(lambda: not workers() and not tasks(), "the end of all that the runner started", WAIT_SECONDS)

    runner = start_run(folder, cluster.environment, *run)
    lost = wait_until(moving, "a worker that trains again", WAIT_SECONDS)
    assert lost.raylet == node.pid
    node.kill()
    wait_until(lambda: not workers() and not tasks(), "the end of the jobs on the lost node", WAIT_SECONDS)
    cluster.add("third", f"--address={ADDRESS}", "--num-cpus=2")
    said = runner.end()

    assert runner.process.returncode == 0, said
    assert not workers()
    all_done_once(folder, 3)
    kinds = Counter(end["kind"] for end in ends(folder))
    assert kinds["killed"] == 2, ends(folder)
    assert set(kinds) <= {"killed", "preempted"}, ends(folder)
    assert {each.devices for each in (first, again, lost)} == {""}
    everything = said + "".join(file.read_text() for file in folder.rglob("*.json"))
    assert cluster.environment["RAY_AUTH_TOKEN"] not in everything


@isolated
def test_no_device_is_given_twice_and_each_is_shared_as_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs share three devices, one with whole devices and one with halves, and together ask for more."""
    (folder / "sitecustomize.py").write_text(BELIEVES)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    cluster = ray_cluster("--num-cpus=8", "--num-gpus=3")
    runs = [
        start_run(folder, cluster.environment, "--models", "rnn", "--output", "whole", *JOIN),
        start_run(folder, cluster.environment, "--models", "rnn", "--output", "half", "--jobs-per-device", "2", *JOIN),
    ]
    shared: set[str] = set()
    while any(run.process.poll() is None for run in runs):
        jobs: dict[str | None, set[Path]] = defaultdict(set)
        for each in workers():
            jobs[each.devices].add(each.job)
        assert set(jobs) <= {"0", "1", "2"}
        for there in jobs.values():
            halves = [job for job in there if "half" in job.parts]
            assert len(halves) + 2 * (len(there) - len(halves)) <= 2, there
            shared |= {job.parts[-2] for job in halves} if len(halves) == 2 else set()
        time.sleep(0.2)
    assert [run.process.returncode for run in runs] == [0, 0], [run.end() for run in runs]
    assert len(shared) > 1, "no two jobs shared a device"
    for output in ("whole", "half"):
        all_done_once(folder, 3, output)


@isolated
def test_a_cluster_that_lacks_something_is_refused_in_one_line(folder: Path) -> None:
    cluster = ray_cluster("--num-cpus=1")
    # A node with another file system: an empty folder lies over the one of the jobs.
    (folder / "runs").mkdir()
    blind = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{folder}/runs" && exec "$@"', "sh")
    cluster.add("blind", f"--address={ADDRESS}", "--num-cpus=3", before=blind)
    stranger = {**cluster.environment, "RAY_AUTH_TOKEN": "0" * 64}
    for environment, threads, expected in (
        (stranger, "1", f"the Ray cluster at {ADDRESS} wants its token"),
        (cluster.environment, "2", "does not see"),
        (cluster.environment, "4", "no node of the Ray cluster has 4 CPUs"),
    ):
        run = start_run(folder, environment, "--models", "rnn", "--threads", threads, *JOIN)
        said = run.end().splitlines()
        assert run.process.returncode == 2, said
        assert expected in said[-1], said
        assert not [line for line in said if "Traceback" in line or "W " in line], said


@isolated
def test_an_interrupt_has_the_jobs_saved_and_ends_the_cluster(folder: Path) -> None:
    run = start_run(folder, plain_environment(), "--models", "rnn", "--max-steps", "2000")
    trained = wait_until(moving, "a worker that trains", WAIT_SECONDS)
    assert trained.devices == ""
    run.process.send_signal(signal.SIGINT)
    said = run.end()
    assert run.process.returncode == 130, said
    assert "interrupted: " in said
    assert {(end["kind"], end["returncode"]) for end in ends(folder)} == {("preempted", 75)}
    assert JobDirectory(trained.job).saved_step() > 0
    others = [p.cmdline() for p in psutil.process_iter() if p.pid != os.getpid() and p.status() != psutil.STATUS_ZOMBIE]
    assert not others


@isolated
def test_a_job_that_ray_ends_for_its_memory_is_not_tried_again(folder: Path) -> None:
    strict = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    run = start_run(folder, plain_environment() | strict, "--models", "rnn")
    said = run.end()
    assert run.process.returncode == 1, said
    assert [each.state()[0] for each in directories(folder)] == ["failed"] * 3
    reasons = {reason.partition(":")[0] for _, reason in map(JobDirectory.state, directories(folder)) if reason}
    assert reasons == {"Ray ended it, as the memory of its node ran out"}
    assert max(len(each.attempts()) for each in directories(folder)) <= 1
    assert {end["kind"] for end in ends(folder)} <= {"out-of-memory"}
