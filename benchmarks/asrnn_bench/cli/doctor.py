"""Show what this machine can do and what is missing: ``asrnn-bench doctor``."""

import shutil
import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from asrnn.compiling import compiler
from asrnn.errors import DataError, MissingDataError
from asrnn.registry import list_models
from asrnn_bench.cli.app import app
from asrnn_bench.cli.flags import DataDir
from asrnn_bench.launching.slots import describe_slots, find_slots
from asrnn_bench.machine.capacity import find_capacity
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, count_gpus, named_gpus
from asrnn_bench.worker.gpus import ask_torch
from asrnn_data.image_sets import IMAGE_SETS, check_images, images_present, resolve_data_dir

PACKAGES = ("asrnn-bench", "torch", "torchvision", "lightning", "torchmetrics", "mlxtend", "numpy", "pandas")

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only its size is read
ENOUGH_SHARED_BYTES = 256 * 2**20
"""Two GPUs exchange gradients through shared memory; Docker gives 64 MiB by default."""


@app.command()
def doctor(
    data_dir: DataDir = None,
) -> int:
    """Show versions, devices, disk and data; exit 1 if something is damaged or missing."""
    faults = _packages() + _devices() + _shared_memory()
    _scans_and_disk()
    faults += _data(resolve_data_dir(data_dir))
    _launchers()
    typer.echo(f"models    {', '.join(list_models())}")
    lacking = [name for name in IMAGE_SETS if not images_present(name, resolve_data_dir(data_dir))]
    ready = f"ready, but for tasks on {', '.join(lacking)}, which will be skipped" if lacking else "ready"
    typer.echo("verdict   " + (f"{faults} to mend, marked with !" if faults else ready))
    return 1 if faults else 0


def _packages() -> int:
    missing = 0
    typer.echo(f"python    {sys.version.split()[0]}")
    for name in PACKAGES:
        try:
            typer.echo(f"package   {name} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"package ! {name} is not installed: pip install . in the sources")
            missing += 1
    return missing


def _devices() -> int:
    """Print the devices that jobs would use, and return 1 if torch cannot compute on them."""
    capacity, named = find_capacity(), named_gpus()
    seen = ask_torch(named.names or None)
    missing = len(named.names) - len(seen.models)
    typer.echo(f"devices   {capacity.words()}")
    for model, count in Counter(seen.models).items():
        typer.echo(f"gpus      {count} x {model}")
    if named.names or seen.reason:
        named_text = f"{named.named_by} {count_gpus(len(named.names))}, " if named.names else ""
        because = f": {seen.reason}" if seen.reason else ""
        typer.echo(f"gpus    {'!' if missing > 0 else ' '} {named_text}torch sees {seen.count}{because}")
    if missing > 0:
        typer.echo("jobs    ! none starts before that is mended; with CUDA_VISIBLE_DEVICES= they run on the CPU")
    else:
        if missing < 0:
            numbers = ",".join(map(str, range(len(seen.models))))
            taken = len(named.names) or "none"
            typer.echo(f"gpus    ! jobs take {taken}: put '{VISIBLE_VARIABLE}={numbers}' before the command")
        slots = find_slots(devices=None, jobs_per_device=1, threads=1)
        typer.echo(f"jobs      {describe_slots(slots)}")
    return int(missing != 0)


def _scans_and_disk() -> None:
    """Print how scans run, and the free disk space."""
    from asrnn.ops import Residual  # only here: these import torch
    from asrnn.ops.compiled import compiled_runner

    found = compiled_runner(Residual)
    slower = f"in Python, several times slower: {found}"
    typer.echo(f"scans     {slower if isinstance(found, str) else f'in C, compiled by {compiler()[1]}'}")
    typer.echo(f"disk      {shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here")


def _shared_memory() -> int:
    """Print the size of the shared memory, and return 1 if it is too small for several GPUs."""
    if not SHARED_MEMORY.is_dir():
        return 0
    total = shutil.disk_usage(SHARED_MEMORY).total
    too_small = total < ENOUGH_SHARED_BYTES and len(named_gpus().names) > 1
    lack = ", too small for jobs on several GPUs: docker run --shm-size=1g" if too_small else ""
    typer.echo(f"shared  {'!' if too_small else ' '} {total / 2**20:.0f} MiB in {SHARED_MEMORY}{lack}")
    return int(too_small)


def _launchers() -> None:
    """Print which launchers and loggers are installed."""
    typer.echo(f"launcher  slurm: sbatch is {'' if shutil.which('sbatch') else 'not '}on this machine")
    for package in ("ray", "tensorboard", "wandb"):
        kind = "launcher" if package == "ray" else "logger"
        try:
            found = f"{package} {version(package)}"
        except PackageNotFoundError:
            found = f'pip install ".[{package}]" in the sources brings it'
        typer.echo(f"{kind:<10}{package}: {found}")


def _data(root: Path | None) -> int:
    damaged = 0
    typer.echo(f"data      {root if root else 'no folder is named: --data-dir, ASRNN_DATA_DIR or ./data'}")
    for name in IMAGE_SETS:
        try:
            check_images(name, root)
            typer.echo(f"data      {name}: there, and every file is the published one")
        except DataError as error:
            wrong = not isinstance(error, MissingDataError)
            damaged += wrong
            typer.echo(f"data    {'!' if wrong else ' '} {error}")
    return damaged
