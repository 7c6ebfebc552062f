"""The places of this machine where one job can run at a time: a device, or a few cores."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from asrnn.errors import UsageError
from asrnn_bench.running.launchers.environment import CORES_VARIABLE


@dataclass(frozen=True)
class Slot:
    """One place for one job: its name, and the environment that keeps a worker there."""

    name: str
    environment: tuple[tuple[str, str], ...]


def find_slots(*, devices: int | None, jobs_per_device: int, threads: int) -> list[Slot]:
    """Return the slots of this machine: one a GPU where there are GPUs, else one for every ``threads`` cores.

    Args:
        devices: how many GPUs or groups of cores to take; by default all.
        jobs_per_device: how many jobs share one of them.
        threads: the threads of a job.

    Raises:
        UsageError: more devices are asked for than there are.
    """
    if jobs_per_device < 1 or (devices is not None and devices < 1):
        raise UsageError(f"devices and jobs_per_device must be at least 1, not {devices} and {jobs_per_device}")
    gpus = visible_gpus()
    cores = available_cores()
    if not gpus and threads > len(cores):
        raise UsageError(f"--threads {threads} is more than the {len(cores)} cores there are")
    count = len(gpus) or len(cores) // threads
    kind = "GPUs" if gpus else f"groups of {threads} cores" if threads > 1 else "cores"
    if devices is not None and devices > count:
        raise UsageError(f"--devices {devices} is more than the {count} {kind} there are")
    slots = []
    for index in range(devices or count):
        group = cores[index * threads : (index + 1) * threads] if not gpus else cores
        name = f"gpu {gpus[index]}" if gpus else f"{'cores' if threads > 1 else 'core'} {','.join(map(str, group))}"
        place = {"CUDA_VISIBLE_DEVICES": gpus[index] if gpus else ""}
        place |= {} if gpus else {CORES_VARIABLE: ",".join(map(str, group))}
        place |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
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
