"""Kills for want of memory are found on either version of control groups, in containers too."""

from pathlib import Path

import pytest

from asrnn_bench.supervising.out_of_memory import OomWatch, oom_kills


class Machine:
    """A pretended /proc and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.root, self.proc, self.groups = folder, folder / "proc", folder / "sys/fs/cgroup"
        (self.proc / "self").mkdir(parents=True)

    def says(self, cgroup: str, mounts: list[str]) -> None:
        (self.proc / "self/cgroup").write_text(cgroup)
        lines = [f"3{at} 23 0:28 {mount.format('/sys/fs/cgroup')}\n" for at, mount in enumerate(mounts)]
        (self.proc / "self/mountinfo").write_text("".join(lines))

    def counts(self, file: str, kills: int) -> None:
        path = self.groups / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"low 0\nunder_oom 0\noom_kill {kills}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


UNIFIED = "/ {} rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
MEMORY = "{root} {{}}/memory rw,relatime - cgroup cgroup rw,memory"
OTHER = "/ {}/cpu rw,relatime - cgroup cgroup rw,cpu"


def test_the_second_version(machine: Machine) -> None:
    machine.says("0::/user.slice/run\n", [UNIFIED])
    machine.counts("user.slice/run/memory.events", 2)
    machine.counts("memory.events", 9)
    assert oom_kills(machine.root) == 2


def test_the_first_version(machine: Machine) -> None:
    machine.says("5:devices:/x\n4:cpu,memory:/jobs/7\n", [OTHER, MEMORY.format(root="/")])
    machine.counts("memory/jobs/7/memory.oom_control", 3)
    assert oom_kills(machine.root) == 3


@pytest.mark.parametrize("root", ["/docker/abc", "/docker/other", "/.."])
def test_a_container_on_the_first_version_sees_its_own_group_as_the_mount(root: str, machine: Machine) -> None:
    machine.says("4:memory:/docker/abc\n", [OTHER, MEMORY.format(root=root)])
    machine.counts("memory/memory.oom_control", 4)
    assert oom_kills(machine.root) == 4


def test_both_versions_side_by_side(machine: Machine) -> None:
    machine.says(
        "4:memory:/jobs/7\n0::/\n",
        [MEMORY.format(root="/"), "/ {}/unified rw,relatime - cgroup2 cgroup2 rw"],
    )
    machine.counts("memory/jobs/7/memory.oom_control", 5)
    assert oom_kills(machine.root) == 5


def test_where_no_group_counts_the_machine_does(machine: Machine) -> None:
    assert oom_kills(machine.root) == 0
    (machine.proc / "vmstat").write_text("pgfault 12\noom_kill 6\n")
    assert oom_kills(machine.root) == 6
    machine.says("damaged\n", ["x"])
    assert oom_kills(machine.root) == 6


def test_kills_of_long_before_are_not_this_process_s(machine: Machine) -> None:
    machine.says("0::/run\n", [UNIFIED])
    watch = OomWatch(machine.root)
    assert not watch.ran_out()
    for now in range(20):
        machine.counts("run/memory.events", min(now, 3))  # the last one at 3 s: a neighbour's
        watch.look(float(now))
    assert not watch.ran_out()
    machine.counts("run/memory.events", 4)
    assert watch.ran_out()
    watch.look(20.0)  # it is counted at once, and the process seen to be gone some seconds later
    watch.look(25.0)
    assert watch.ran_out()
