"""``asrnn-bench doctor``: what this machine can do, and what is missing."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from asrnn.compiling import compiler
from asrnn.errors import DataError, MissingDataError
from asrnn.registry import list_models
from asrnn_bench.cli.app import app
from asrnn_bench.cli.flags import DataDir
from asrnn_bench.running.launchers.slots import available_cores, visible_gpus
from asrnn_data.image_sets import IMAGE_SETS, check_images, images_present, resolve_data_dir

PACKAGES = ("asrnn-bench", "torch", "torchvision", "lightning", "torchmetrics", "mlxtend", "numpy", "pandas")


@app.command()
def doctor(
    data_dir: DataDir = None,
) -> int:
    """Show versions, devices, disk and data; exit 1 if something is damaged or not installed."""
    faults = _packages() + _devices() + _data(resolve_data_dir(data_dir))
    _launchers()
    typer.echo(f"models    {', '.join(source.name for source in list_models())}")
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
            typer.echo(f"package ! {name} is not installed: pip install asrnn-bench")
            missing += 1
    return missing


def _devices() -> int:
    cores, gpus = available_cores(), visible_gpus()
    typer.echo(f"devices   {len(cores)} cores, {len(gpus)} GPUs; jobs run on {'the GPUs' if gpus else 'the cores'}")
    from asrnn.ops import Residual  # only here: these import torch
    from asrnn.ops.compiled import compiled_runner

    found = compiled_runner(Residual)
    slower = f"in Python, several times slower: {found}"
    typer.echo(f"scans     {slower if isinstance(found, str) else f'in C, compiled by {compiler()[1]}'}")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    typer.echo(f"disk      {free:.1f} GiB free here")
    return 0


def _launchers() -> None:
    """Say where jobs can be sent from here, and what the flags need that ask for more."""
    slurm = f"sbatch is {'' if shutil.which('sbatch') else 'not '}on this machine"
    needed = {
        "slurm": ("submitit", f"; {slurm}"),
        "ray": ("ray", ""),
        "tensorboard": ("tensorboard", ""),
        "wandb": ("wandb", ""),
    }
    for extra, (package, more) in needed.items():
        kind = "launcher" if extra in ("slurm", "ray") else "logger"
        try:
            found = f"{package} {version(package)}"
        except PackageNotFoundError:
            found = f'pip install "asrnn-bench[{extra}]" brings it'
        typer.echo(f"{kind:<10}{extra}: {found}{more}")


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
