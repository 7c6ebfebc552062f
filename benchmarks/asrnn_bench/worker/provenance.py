"""Describe where a result comes from: versions, machine and code, without anything secret."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asrnn.compiling import compiler
from asrnn_bench.jobs.handover import JOBS_PER_DEVICE_VARIABLE, SLOTS_VARIABLE

PACKAGES = ("asrnn-bench", "torch", "torchvision", "lightning", "torchmetrics", "numpy")


def environment(processes: int = 1) -> dict[str, str | int | float | bool | None]:
    """Return what a reader needs to judge whether another machine should give the same numbers.

    ``slots`` is the number of jobs that ran at a time on the machine, ``jobs_per_device`` the number that shared a
    device. Each is there only if the launcher knows it.

    Args:
        processes: the number of processes that trained the job together.
    """
    import torch

    return {
        **{package: _version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "c_compiler": compiler()[1],
        **({"processes": processes} if processes > 1 else {}),
        **_neighbours(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "commit": commit(),
    }


def _neighbours() -> dict[str, int]:
    """Return what the launcher set about jobs beside this one; nothing for a worker that was started by hand."""
    told = {"slots": SLOTS_VARIABLE, "jobs_per_device": JOBS_PER_DEVICE_VARIABLE}
    return {name: int(os.environ[variable]) for name, variable in told.items() if variable in os.environ}


def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str | None:
    """Return the commit of the checkout, with ``+changes`` if it was edited; None if the code is not in a checkout."""
    here = Path(__file__).resolve().parent
    if not (here.parents[2] / ".git").exists():
        return None
    words = ["git", "-C", str(here), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10, env=_plain_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
