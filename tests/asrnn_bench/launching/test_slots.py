"""Slots are GPUs or groups of cores, as many as the limits of a container allow."""

import pytest

from asrnn.errors import UsageError
from asrnn_bench.launching import slots as slots_module
from asrnn_bench.launching.slots import Slot, describe_slots, find_slots
from asrnn_bench.machine.capacity import JOB_BYTES, Capacity
from asrnn_bench.machine.control_groups import Limits
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
def test_a_run_takes_by_default_only_slots_with_enough_cores_and_memory(
    machine: list[Capacity], capacity: Capacity, jobs_per_device: int, threads: int, expected: int
) -> None:
    machine[0] = capacity
    slots = _slots(jobs_per_device=jobs_per_device, threads=threads)
    assert len(slots) == expected
    if capacity.limits.cpus is not None:  # several containers would otherwise keep to the same first cores
        assert set(_values("ASRNN_BENCH_CORES", slots)) == {None}


def test_a_run_takes_as_many_devices_as_requested_up_to_all_logical_cores(machine: list[Capacity]) -> None:
    machine[0] = Capacity(tuple(range(8)), 4, JOB_BYTES, Limits(0.5, None))
    assert len(_slots(8)) == 8
    assert len(_slots(devices_per_job=8)) == 1  # one job, though its eight processes are more than usual
    with pytest.raises(UsageError, match="--devices 9 is more than the 8 cores there are"):
        _slots(9)


def test_a_run_names_the_limits_of_its_machine(machine: list[Capacity]) -> None:
    machine[0] = Capacity(tuple(range(128)), 64, 256 << 30, Limits(4.0, 8 << 30))
    assert describe_slots(_slots()) == (
        "4 jobs at a time on 64 cores (128 with hyper-threads) and 256.0 GiB of memory, "
        "of which this process may use 4 CPUs and 8.0 GiB"
    )
    machine[0] = Capacity((0,), 1, 2 << 30, Limits())
    assert describe_slots(_slots()) == "1 job at a time on 1 core and 2.0 GiB of memory"
