"""Connecting to a Ray cluster, and the share of a node that a job takes."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.ray import cluster as ray_cluster
from asrnn_bench.launching.ray import launcher as ray_launcher
from asrnn_bench.launching.ray.cluster import check_ray, connected
from asrnn_bench.launching.ray.launcher import RayLauncher
from asrnn_bench.launching.ray.nodes import UNIT, Share, check_nodes, room_for, share_of
from asrnn_bench.launching.slots import Slot


@pytest.mark.parametrize("address", ["auto", "node1", "ray://node1:10001", "node1:port", "http://node1:8265", ":6379"])
def test_an_address_without_host_and_port_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    with pytest.raises(UsageError, match="--ray-address takes HOST:PORT"):
        check_ray(address)


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"no Ray cluster answers at {address}"):
            check_ray(address)


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r'pip install "\.\[ray\]"'):
        check_ray(None)


def test_all_local_clusters_of_a_process_have_one_token() -> None:
    ray_cluster._own_token.cache_clear()
    assert ray_cluster._own_token() == ray_cluster._own_token()


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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: object())
    monkeypatch.setattr(ray_cluster, "import_module", lambda _: Ray)
    with connected(None, num_cpus=6, num_gpus=2):
        pass
    assert (seen["address"], seen["num_cpus"], seen["num_gpus"], seen["include_dashboard"]) == ("local", 6, 2, False)
    assert seen["variables"]["RAY_USAGE_STATS_ENABLED"] == "1"  # what the user has set stays
    assert len(seen["variables"]["RAY_AUTH_TOKEN"]) == 64
    assert seen["ended"]
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_as_many_jobs_share_a_device_as_asked() -> None:
    for count in range(1, 60):
        share = share_of(LaunchSettings(jobs_per_device=count), 1, has_gpus=True)
        parts = round(share.gpus * UNIT)
        assert share.gpus * UNIT == pytest.approx(parts, abs=1e-6)
        assert UNIT // parts == count


def test_a_job_takes_the_requested_devices_or_cores() -> None:
    two = LaunchSettings(options=Options(devices_per_job=2))
    assert share_of(two, 4, has_gpus=True) == Share(2, 8)
    assert share_of(two, 4, has_gpus=False) == Share(0, 8)
    with pytest.raises(UsageError, match="several devices or shares one"):
        share_of(replace(two, jobs_per_device=2), 1, has_gpus=True)
    with pytest.raises(UsageError, match="--devices-per-job 2 is more than --devices 1"):
        share_of(replace(two, devices=1), 1, has_gpus=True)


def test_a_job_without_gpus_sees_none() -> None:
    assert Share(0, 1).environment(2) == {
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "ASRNN_BENCH_DEVICES": "0",
    }


@pytest.mark.parametrize(("gpus", "promised"), [(1, "1"), (0.25, "1"), (2, "2")])
def test_a_job_with_gpus_sees_those_that_ray_names_and_expects_as_many(gpus: float, promised: str) -> None:
    place = Share(gpus, 1).environment(2)
    assert "CUDA_VISIBLE_DEVICES" not in place
    assert place["ASRNN_BENCH_DEVICES"] == promised


def test_a_cluster_whose_nodes_are_too_small_is_refused(tmp_path: Path) -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    assert check_nodes(ray, LaunchSettings(), 1, JobDirectory(tmp_path)) == Share(1, 1)
    with pytest.raises(UsageError, match="no node of the Ray cluster has 2 GPUs and 2 CPUs"):
        check_nodes(ray, LaunchSettings(options=Options(devices_per_job=2)), 1, JobDirectory(tmp_path))
    assert room_for(ray, Share(1, 1))
    assert not room_for(ray, Share(8, 8))  # but on a node that is gone


def test_a_cluster_of_this_machine_has_the_cores_and_gpus_of_its_slots(
    monkeypatch: pytest.MonkeyPatch, directories: list[JobDirectory]
) -> None:
    asked: list[tuple[object, int, int]] = []

    def connected_to(address: object, num_cpus: int, num_gpus: int) -> object:
        asked.append((address, num_cpus, num_gpus))
        raise UsageError("that is all")

    monkeypatch.setattr(ray_launcher, "check_ray", lambda address: None)
    monkeypatch.setattr(ray_launcher, "find_slots", lambda **_: [Slot("gpu 4", ()), Slot("gpu 7", ())])
    monkeypatch.setattr(ray_launcher, "describe_slots", lambda slots: "2 at a time")
    monkeypatch.setattr(ray_launcher, "named_gpus", lambda: SimpleNamespace(names=("4", "7", "9")))
    monkeypatch.setattr(ray_launcher, "connected", connected_to)
    for settings, expected in ((LaunchSettings("ray"), (None, 6, 3)), (LaunchSettings("ray", devices=2), (None, 6, 2))):
        with pytest.raises(UsageError, match="that is all"):
            RayLauncher(settings, threads=3).run(directories[:1], Options())
        assert asked.pop() == expected
