"""The slots of this machine, by its GPUs or by its cores, within what a container allows."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest
from bench_support import done, one_line

from asrnn.errors import DeviceError, UsageError
from asrnn_bench.cli import invoke
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End, decide
from asrnn_bench.jobs.handover import Rank
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching import slots as slots_module
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot, describe_slots, find_slots
from asrnn_bench.machine.capacity import JOB_BYTES, Capacity, allocated, available_cores, find_capacity, tightest
from asrnn_bench.machine.control_groups import Limits
from asrnn_bench.supervising.commands import worker_words
from asrnn_bench.worker import gpus as torch_gpus
from asrnn_bench.worker import main as worker
from asrnn_bench.worker.gpus import TorchGpus
from asrnn_bench.worker.provenance import environment

PLENTY = 1 << 40
FREE = Capacity((2, 3, 5, 7, 11), 5, PLENTY, Limits())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Capacity]:
    """What the machine gives, to be changed in place; it has no GPU."""
    found = [FREE]
    monkeypatch.setattr(slots_module, "find_capacity", lambda: found[0])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return found


def _slots(
    devices: int | None = None, jobs_per_device: int = 1, threads: int = 1, devices_per_job: int = 1
) -> list[Slot]:
    return find_slots(
        devices=devices, jobs_per_device=jobs_per_device, threads=threads, devices_per_job=devices_per_job
    )


def _values(name: str, slots: list[Slot]) -> list[str | None]:
    return [dict(slot.environment).get(name) for slot in slots]


@pytest.mark.usefixtures("machine")
def test_slots_are_disjoint_groups_of_cores() -> None:
    slots = _slots(threads=2)
    assert _values("ASRNN_BENCH_CORES", slots) == ["2,3", "5,7"]
    assert set(_values("OMP_NUM_THREADS", slots)) == {"2"}
    assert [slot.name for slot in slots] == ["cores 2,3", "cores 5,7"]
    assert set(_values("ASRNN_BENCH_DEVICES", slots)) == {"0"}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("devices", "jobs_per_device", "devices_per_job", "at_a_time"),
    [(None, 1, 1, 5), (3, 1, 1, 3), (2, 3, 1, 6), (None, 1, 2, 2)],
)
def test_a_slot_says_how_many_jobs_run_beside_it(
    monkeypatch: pytest.MonkeyPatch, devices: int | None, jobs_per_device: int, devices_per_job: int, at_a_time: int
) -> None:
    slots = _slots(devices, jobs_per_device, 1, devices_per_job)
    assert len(slots) == at_a_time
    for name, value in slots[0].environment:
        monkeypatch.setenv(name, value)
    found = environment()
    assert (found["slots"], found["jobs_per_device"]) == (at_a_time, jobs_per_device)


@pytest.mark.parametrize(
    ("value", "threads", "per_job", "groups", "promised"),
    [
        ("3,1", 1, 1, ["3", "1"], "1"),
        ("GPU-1f2e,GPU-77", 1, 1, ["GPU-1f2e", "GPU-77"], "1"),
        ("0,1,2,3,4", 2, 2, ["0,1", "2,3"], "2"),
        ("MIG-a,MIG-b", 1, 1, ["MIG-a", "MIG-b"], "1"),
    ],
)
def test_a_gpu_slot_names_its_gpus_and_says_how_many_they_are(
    monkeypatch: pytest.MonkeyPatch, value: str, threads: int, per_job: int, groups: list[str], promised: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    slots = _slots(threads=threads, devices_per_job=per_job)
    assert _values("CUDA_VISIBLE_DEVICES", slots) == groups
    assert set(_values("ASRNN_BENCH_DEVICES", slots)) == {promised}
    assert set(_values("ASRNN_BENCH_CORES", slots)) == {None}


def test_one_process_cannot_have_two_mig_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b")
    with pytest.raises(UsageError, match="one MIG instance at most: remove --devices-per-job"):
        _slots(devices_per_job=2)


@pytest.mark.parametrize(
    ("capacity", "jobs_per_device", "threads", "expected"),
    [
        (Capacity(tuple(range(64)), 64, PLENTY, Limits(4.0, None)), 1, 1, 4),
        (Capacity(tuple(range(64)), 64, PLENTY, Limits(4.0, 3 * JOB_BYTES)), 1, 1, 3),
        (Capacity(tuple(range(64)), 64, PLENTY, Limits(4.0, 3 * JOB_BYTES)), 3, 1, 3),
        (Capacity((0, 1), 2, PLENTY, Limits(0.5, None)), 1, 1, 1),
        (Capacity((0, 1), 2, PLENTY, Limits(None, 1)), 1, 1, 1),
        (Capacity((0, 1, 2, 3), 4, 2 * JOB_BYTES, Limits()), 1, 1, 2),
        (Capacity(tuple(range(8)), 4, PLENTY, Limits()), 1, 1, 4),
        (Capacity(tuple(range(8)), 4, PLENTY, Limits()), 1, 2, 2),
        (Capacity((0, 1), 1, PLENTY, Limits()), 1, 2, 1),
    ],
)
def test_a_run_takes_what_is_enough_for_its_jobs(
    machine: list[Capacity], capacity: Capacity, jobs_per_device: int, threads: int, expected: int
) -> None:
    machine[0] = capacity
    slots = _slots(jobs_per_device=jobs_per_device, threads=threads)
    assert len(slots) == expected
    if capacity.limits.cpus is not None:  # several containers would otherwise keep to the same first cores
        assert set(_values("ASRNN_BENCH_CORES", slots)) == {None}


def test_devices_that_are_asked_for_are_taken_up_to_every_logical_core(machine: list[Capacity]) -> None:
    machine[0] = Capacity(tuple(range(8)), 4, JOB_BYTES, Limits(0.5, None))
    assert len(_slots(8)) == 8
    assert len(_slots(devices_per_job=8)) == 1  # one job, though its eight processes are more than usual
    with pytest.raises(UsageError, match="--devices 9 is more than the 8 cores there are"):
        _slots(9)


def test_what_a_run_says_of_its_machine_names_the_limits(machine: list[Capacity]) -> None:
    machine[0] = Capacity(tuple(range(128)), 64, 256 << 30, Limits(4.0, 8 << 30))
    assert describe_slots(_slots()) == (
        "4 jobs at a time on 64 cores (128 with hyper-threads) and 256.0 GiB of memory, "
        "of which this process may use 4 CPUs and 8.0 GiB"
    )
    machine[0] = Capacity((0,), 1, 2 << 30, Limits())
    assert describe_slots(_slots()) == "1 job at a time on 1 core and 2.0 GiB of memory"


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_hyper_threads_are_told_from_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 4, 5})
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2,6"}
    found = find_capacity(
        _write(
            tmp_path, {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": s for n, s in siblings.items()}
        )
    )
    assert (found.cores, found.physical) == ((0, 1, 2, 4, 5), 3)


def test_a_machine_that_says_nothing_has_what_the_system_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    found = find_capacity(tmp_path)
    assert (found.cores, found.physical) == (tuple(available_cores()), len(os.sched_getaffinity(0)))
    assert (found.memory, found.limits) == (psutil.virtual_memory().total, Limits())


CGROUP = "sys/fs/cgroup/"
MOUNTS_V2 = {"proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"}
MOUNTS_V1 = {
    "proc/self/mountinfo": "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
}
NONE_V1 = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            MOUNTS_V2
            | {"proc/self/cgroup": "0::/\n", CGROUP + "cpu.max": "max 100000\n", CGROUP + "memory.max": "max\n"},
            Limits(),
        ),
        (
            MOUNTS_V2
            | {"proc/self/cgroup": "0::/\n", CGROUP + "cpu.max": "50000 100000\n", CGROUP + "memory.max": "1024\n"},
            Limits(0.5, 1024),
        ),
        (  # the tightest of the group and all above it
            MOUNTS_V2
            | {
                "proc/self/cgroup": "0::/slurm/job/step\n",
                CGROUP + "slurm/cpu.max": "200000 100000\n",
                CGROUP + "slurm/job/cpu.max": "max 100000\n",
                CGROUP + "slurm/job/memory.max": "4096\n",
                CGROUP + "slurm/job/step/cpu.max": "300000 100000\n",
                CGROUP + "slurm/job/step/memory.max": "max\n",
            },
            Limits(2.0, 4096),
        ),
        (  # Docker on version 1: the path is the host's, and not there
            MOUNTS_V1
            | {
                "proc/self/cgroup": "4:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n0::/docker/0123\n",
                CGROUP + "cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                CGROUP + "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                CGROUP + "memory/memory.limit_in_bytes": "8589934592\n",
            },
            Limits(4.0, 8 << 30),
        ),
        (
            MOUNTS_V1
            | {
                "proc/self/cgroup": "4:memory:/\n2:cpu,cpuacct:/\n",
                CGROUP + "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                CGROUP + "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                CGROUP + "memory/memory.limit_in_bytes": NONE_V1,
            },
            Limits(),
        ),
        (  # version 2 beside version 1
            MOUNTS_V1 | {"proc/self/cgroup": "3:cpuset:/\n0::/a\n", CGROUP + "unified/a/memory.max": "77\n"},
            Limits(None, 77),
        ),
        (  # a group outside of the namespace's root
            MOUNTS_V2 | {"proc/self/cgroup": "0::/../other\n", CGROUP + "cpu.max": "150000 100000\n"},
            Limits(1.5, None),
        ),
        (  # a hierarchy that is mounted elsewhere, of which the mount shows a part
            {
                "proc/self/mountinfo": "31 23 0:28 /jobs /run/groups rw - cgroup2 cgroup2 rw\n",
                "proc/self/cgroup": "0::/jobs/7\n",
                "run/groups/7/memory.max": "4096\n",
                "run/groups/cpu.max": "200000 100000\n",
            },
            Limits(2.0, 4096),
        ),
        (MOUNTS_V2 | {"proc/self/cgroup": "nonsense\n\x00\n", CGROUP + "cpu.max": "nonsense"}, Limits()),
        ({}, Limits()),
    ],
)
def test_limits_are_those_of_all_control_groups_around(tmp_path: Path, files: dict[str, str], expected: Limits) -> None:
    assert find_capacity(_write(tmp_path, files)).limits == expected


def test_a_run_on_gpus_that_torch_does_not_see_ends_before_any_job_is_written(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(torch_gpus, "ask_torch", lambda names: TorchGpus("2.9", (), "torch 2.9 is built without CUDA"))
    monkeypatch.chdir(tmp_path)
    assert invoke(["--suite", str(tiny_suite)]) == 1
    said = one_line(capsys.readouterr().err)
    assert "CUDA_VISIBLE_DEVICES=0,1 names 2 GPUs and torch sees none: torch 2.9 is built without CUDA" in said
    assert not (tmp_path / "runs").exists()


def test_a_worker_without_its_gpu_does_not_train_and_is_tried_in_the_next_run(directories: list[JobDirectory]) -> None:
    ended = subprocess.run(
        worker_words(directories[0].path),
        env=os.environ | {"ASRNN_BENCH_DEVICES": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 69
    (end,) = directories[0].ends()
    assert end.kind == "not-started"
    assert end.reason.startswith("1 GPU promised to this job on ")
    assert one_line(end.reason)
    assert not directories[0].is_done()
    assert decide([end], retries=2) == "later"


@pytest.mark.parametrize("broken", [["1"], ["0", "1"]])
def test_a_gpu_that_is_lost_in_a_run_takes_no_further_job(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch, broken: list[str]
) -> None:
    class Supervised:
        """A job that ends at once, by the GPU that it is sent to."""

        last_words = ""
        stuck: tuple[str, ...] = ()

        def __init__(self, directory: JobDirectory, options: Options, start: object) -> None:
            self.directory = directory

        def start(self, place: dict[str, str]) -> str:
            attempt = self.directory.claim()
            if place["CUDA_VISIBLE_DEVICES"] in broken:
                attempt.write_end(End(69, "not-started", "it is gone"))
            else:
                self.directory.publish(done(self.directory.job(), 0.5), attempt)
            return "started"

        def watch(self) -> bool:
            return False

        def is_held(self) -> bool:
            return False

        def stop(self) -> None: ...
        def kill(self) -> None: ...

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(local, "Supervisor", Supervised)
    said: list[str] = []
    if broken == ["1"]:
        run_local(directories, _slots(), Options(), say=said.append)
        assert all(directory.is_done() for directory in directories)
    else:
        with pytest.raises(DeviceError, match="no GPU is left"):
            run_local(directories, _slots(), Options(), say=said.append)
        assert sum(len(directory.attempts()) for directory in directories) == 2
    assert sorted(said) == [f"gpu {name} is left out of the rest of the run: it is gone" for name in broken]


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_a_worker_s_cublas_repeats_its_numbers(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    variables = dict(os.environ) | {"SLURM_JOB_ID": "7"} | ({"CUBLAS_WORKSPACE_CONFIG": own} if own else {})
    monkeypatch.setattr(worker.os, "environ", variables)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_pin", lambda *_: None)
    monkeypatch.setattr(worker.StopRequest, "listen", lambda self: None)
    worker._become_worker(directories[0], directories[0].job(), Rank())
    assert variables["CUBLAS_WORKSPACE_CONFIG"] == (own or ":4096:8")
    assert "SLURM_JOB_ID" not in variables


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Limits()),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "4096"}, Limits(8.0, 4 << 30)),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "512"}, Limits(8.0, 4 << 30)),
        ({"SLURM_CPUS_ON_NODE": "many", "SLURM_MEM_PER_NODE": "0"}, Limits()),
    ],
)
def test_an_allocation_of_slurm_s_is_a_limit_too(variables: dict[str, str], expected: Limits) -> None:
    assert allocated(variables) == expected
    assert tightest(expected, Limits(4.0, None), Limits(None, 1 << 40)) == Limits(4.0, expected.memory or 1 << 40)
