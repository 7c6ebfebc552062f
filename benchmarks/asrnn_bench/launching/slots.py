"""Divide this machine into slots: a slot is a device or a group of cores, and runs one job at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from asrnn.errors import UsageError
from asrnn_bench.jobs.handover import CORES_VARIABLE, DEVICES_VARIABLE, JOBS_PER_DEVICE_VARIABLE, SLOTS_VARIABLE
from asrnn_bench.machine.capacity import Capacity, find_capacity
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, count_gpus, named_gpus
from asrnn_bench.worker.gpus import require_named

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Slot:
    """A place for one job: its name, and the variables that keep a worker there."""

    name: str
    environment: tuple[tuple[str, str], ...]

    @property
    def gpus(self) -> tuple[str, ...]:
        """The names of its GPUs."""
        return tuple(filter(None, dict(self.environment)[VISIBLE_VARIABLE].split(",")))


def find_slots(*, devices: int | None, jobs_per_device: int, threads: int, devices_per_job: int = 1) -> list[Slot]:
    """Return the slots of this machine: one for every ``devices_per_job`` GPUs or groups of cores.

    Args:
        devices: how many GPUs or groups of cores to take. By default all GPUs, or a group for every ``threads``
            physical cores, up to the limits of the container and the memory of their jobs.
        jobs_per_device: how many jobs share one device.
        threads: the threads of each process of a job, which are the cores of a group.
        devices_per_job: how many devices one job takes.

    Raises:
        UsageError: there are not so many devices, or jobs would share devices and take several.
    """
    if min(jobs_per_device, devices_per_job, devices or 1) < 1 or devices == 0:
        raise UsageError(
            f"devices, jobs_per_device and devices_per_job must be at least 1, not {devices}, {jobs_per_device} "
            f"and {devices_per_job}"
        )
    if jobs_per_device > 1 and devices_per_job > 1:
        raise UsageError("a job takes several devices or shares one: give --devices-per-job or --jobs-per-device")
    gpus = named_gpus().names
    if devices_per_job > 1 and any(name.startswith("MIG-") for name in gpus):
        raise UsageError("CUDA gives a process one MIG instance at most: remove --devices-per-job")
    capacity = find_capacity()
    cores = capacity.cores
    places = list(gpus) or [
        ",".join(map(str, cores[at : at + threads])) for at in range(0, len(cores) - threads + 1, threads)
    ]
    if not places:
        raise UsageError(f"--threads {threads} is more than the {len(cores)} cores there are")
    kind = "GPUs" if gpus else f"groups of {threads} cores" if threads > 1 else "cores"
    usual = len(places) if gpus else _usual(capacity, len(places), threads, jobs_per_device)
    taken = devices or max(usual, min(devices_per_job, len(places)))
    if taken > len(places):
        raise UsageError(f"--devices {devices} is more than the {len(places)} {kind} there are")
    if devices_per_job > taken:
        raise UsageError(f"--devices-per-job {devices_per_job} is more than the {taken} {kind} there are")
    shared = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {
        SLOTS_VARIABLE: str(taken // devices_per_job * jobs_per_device),
        JOBS_PER_DEVICE_VARIABLE: str(jobs_per_device),
        DEVICES_VARIABLE: str(devices_per_job if gpus else 0),
    }
    slots = []
    for start in range(0, taken - devices_per_job + 1, devices_per_job):
        group = ",".join(places[start : start + devices_per_job])
        place = {VISIBLE_VARIABLE: group if gpus else ""}
        if not gpus and not capacity.is_shared:
            place[CORES_VARIABLE] = group
        name = f"gpu {group}" if gpus else f"core{'s' if ',' in group else ''} {group}"
        slots += [Slot(name, tuple((place | shared).items()))] * jobs_per_device
    return slots


def _usual(capacity: Capacity, groups: int, threads: int, jobs_per_device: int) -> int:
    """Return how many groups of cores a run takes by default."""
    within = min(capacity.usual_cores // threads, capacity.processes // jobs_per_device)
    return max(1, min(groups, within))


def describe_slots(slots: list[Slot]) -> str:
    """Return in words how many jobs run at a time, and on which devices."""
    count = f"{len(slots)} job{'s' * (len(slots) != 1)} at a time"
    gpus = {name for slot in slots for name in slot.gpus}
    if gpus:
        return f"{count} on {count_gpus(len(gpus))}"
    return f"{count} on {find_capacity().words()}"


def require_gpus_of(slots: Sequence[Slot]) -> None:
    """Check that torch can compute on the GPUs of all slots.

    Raises:
        DeviceError: it cannot.
    """
    require_named(list(dict.fromkeys(name for slot in slots for name in slot.gpus)), named_gpus())
