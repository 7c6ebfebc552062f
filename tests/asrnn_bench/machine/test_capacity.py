"""The capacity of a machine is read from its processors, control groups and Slurm's variables."""

import os
from pathlib import Path

import psutil
import pytest

from asrnn_bench.machine.capacity import allocated, available_cores, find_capacity, tightest
from asrnn_bench.machine.control_groups import Limits


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_hyper_threads_are_not_counted_as_physical_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 4, 5})
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2,6"}
    found = find_capacity(
        _write(
            tmp_path, {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": s for n, s in siblings.items()}
        )
    )
    assert (found.cores, found.physical) == ((0, 1, 2, 4, 5), 3)


def test_capacity_without_sysfs_is_counted_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_limits_are_the_smallest_of_all_enclosing_control_groups(
    tmp_path: Path, files: dict[str, str], expected: Limits
) -> None:
    assert find_capacity(_write(tmp_path, files)).limits == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Limits()),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "4096"}, Limits(8.0, 4 << 30)),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "512"}, Limits(8.0, 4 << 30)),
        ({"SLURM_CPUS_ON_NODE": "many", "SLURM_MEM_PER_NODE": "0"}, Limits()),
    ],
)
def test_an_allocation_of_slurm_is_a_limit(variables: dict[str, str], expected: Limits) -> None:
    assert allocated(variables) == expected
    assert tightest(expected, Limits(4.0, None), Limits(None, 1 << 40)) == Limits(4.0, expected.memory or 1 << 40)
