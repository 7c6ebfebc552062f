"""The places of this machine where one job can run at a time: a device, or a few cores."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from asrnn.errors import UsageError
from asrnn_bench.running.launchers.environment import CORES_VARIABLE, JOBS_PER_DEVICE_VARIABLE, SLOTS_VARIABLE


@dataclass(frozen=True)
class Slot:
    """One place for one job: its name, and the environment that keeps a worker there."""

    name: str
    environment: tuple[tuple[str, str], ...]


def find_slots(*, devices: int | None, jobs_per_device: int, threads: int, devices_per_job: int = 1) -> list[Slot]:
    """Return the slots of this machine: one for every ``devices_per_job`` GPUs, or every so many groups of cores.

    Args:
        devices: how many GPUs or groups of cores to take; by default all.
        jobs_per_device: how many jobs share one of them.
        threads: the threads of a job, or of each of its processes.
        devices_per_job: how many devices one job takes.

    Raises:
        UsageError: more devices are asked for than there are, or jobs share devices and take several.
    """
    if min(jobs_per_device, devices_per_job, devices or 1) < 1 or devices == 0:
        raise UsageError(
            f"devices, jobs_per_device and devices_per_job must be at least 1, not {devices}, {jobs_per_device} "
            f"and {devices_per_job}"
        )
    if jobs_per_device > 1 and devices_per_job > 1:
        raise UsageError("a job takes several devices or shares one: give --devices-per-job or --jobs-per-device")
    gpus, cores = visible_gpus(), available_cores()
    places = gpus or [
        ",".join(map(str, cores[at : at + threads])) for at in range(0, len(cores) - threads + 1, threads)
    ]
    if not places:
        raise UsageError(f"--threads {threads} is more than the {len(cores)} cores there are")
    kind = "GPUs" if gpus else f"groups of {threads} cores" if threads > 1 else "cores"
    taken = devices or len(places)
    if taken > len(places):
        raise UsageError(f"--devices {devices} is more than the {len(places)} {kind} there are")
    if devices_per_job > taken:
        raise UsageError(f"--devices-per-job {devices_per_job} is more than the {taken} {kind} there are")
    slots = []
    neighbours = {
        SLOTS_VARIABLE: str(taken // devices_per_job * jobs_per_device),
        JOBS_PER_DEVICE_VARIABLE: str(jobs_per_device),
    }
    for start in range(0, taken - devices_per_job + 1, devices_per_job):
        group = ",".join(places[start : start + devices_per_job])
        place = {"CUDA_VISIBLE_DEVICES": group if gpus else ""} | ({} if gpus else {CORES_VARIABLE: group})
        place |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        place |= neighbours
        name = f"gpu {group}" if gpus else f"core{'s' if ',' in group else ''} {group}"
        slots += [Slot(name, tuple(place.items()))] * jobs_per_device
    return slots


def visible_gpus() -> list[str]:
    """Return the GPUs that CUDA may use, as CUDA names them, without making a CUDA context."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    words = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.split() if found.returncode == 0 else []


def available_cores() -> list[int]:
    """Return the cores this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
