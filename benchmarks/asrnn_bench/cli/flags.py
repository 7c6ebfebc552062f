"""Name the flags that several verbs have, so that each is read in one way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from asrnn_bench.cli.quantities import interval, names, seconds
from asrnn_bench.files.paths import expanded
from asrnn_bench.jobs.options import Options, chosen_loggers
from asrnn_bench.launching.choice import known_launcher
from asrnn_bench.launching.launcher import LaunchSettings

WHAT, WHERE, CARE, FOLDERS = "What runs", "Where it runs", "While it runs", "Folders"

Folder = Annotated[Path, typer.Argument(metavar="DIR", parser=expanded, help="The --output folder of a run.")]

Models = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Models: names, FILE.py:Class, package.module:Class."),
]
Tasks = Annotated[list[str] | None, typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Tasks of the suite.")]
MaxSteps = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=WHAT, help="Train for so many optimiser steps instead."),
]

LauncherName = Annotated[str, typer.Option(metavar="NAME", rich_help_panel=WHERE, help="local, ray or slurm.")]
Devices = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="GPUs, or groups of cores; by default all."),
]
JobsPerDevice = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Jobs that share one device.")
]
DevicesPerJob = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Devices that train one job together.")
]
NodesPerJob = Annotated[int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Slurm nodes of one job.")]
Threads = Annotated[int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Threads of a job on CPU.")]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", rich_help_panel=WHERE, help="An option of sbatch; repeat for more."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", rich_help_panel=WHERE, help="A Ray cluster; else one is started here."),
]

TimeLimit = Annotated[
    str | None,
    typer.Option(metavar="TIME", rich_help_panel=CARE, help="The most that one job may take, such as 2h."),
]
HangAfter = Annotated[
    str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="End a job that shows no progress for so long.")
]
CheckpointEvery = Annotated[
    str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="Save so often; also as 100steps.")
]
KeepCheckpoints = Annotated[
    bool, typer.Option("--keep-checkpoints", rich_help_panel=CARE, help="Keep those of finished jobs.")
]
Retries = Annotated[
    int, typer.Option(min=0, metavar="N", rich_help_panel=CARE, help="Tries more of a job that was killed.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=CARE, help="Try failed jobs again, from checkpoints.")
]
Join = Annotated[bool, typer.Option("--join", rich_help_panel=CARE, help="Help a runner at work in the same folder.")]
LoggerNames = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", rich_help_panel=CARE, help="csv, tensorboard, wandb or none. [csv]"),
]

Output = Annotated[Path, typer.Option(metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Job directories.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=expanded,
        rich_help_panel=FOLDERS,
        help="Data, as torchvision has it; else $ASRNN_DATA_DIR, then ./data.",
    ),
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 if a job had no data.")]


def machine_of(flags: Mapping[str, Any]) -> LaunchSettings:
    """Return where and how jobs run, from the flags of a verb that runs some.

    Args:
        flags: their values, by the names that they have above in words, such as ``jobs_per_device``.

    Raises:
        UsageError: the launcher or a logger is unknown, or a time is none.
    """
    every_seconds, every_steps = interval("--checkpoint-every", flags["checkpoint_every"])
    limit = flags["time_limit"]
    options = Options(
        devices_per_job=flags["devices_per_job"],
        nodes_per_job=flags["nodes_per_job"],
        checkpoint_seconds=every_seconds,
        checkpoint_steps=every_steps,
        time_limit_seconds=seconds("--time-limit", limit) if limit else None,
        hang_seconds=seconds("--hang-after", flags["hang_after"]),
        retries=flags["retries"],
        keep_checkpoints=flags["keep_checkpoints"],
        loggers=chosen_loggers(names("--logger", flags["logger"] or ["csv"])),
    )
    return LaunchSettings(
        devices=flags["devices"],
        jobs_per_device=flags["jobs_per_device"],
        launcher=known_launcher(flags["launcher"]),
        options=options,
        slurm_options=tuple(flags["slurm_option"] or ()),
        ray_address=flags["ray_address"],
        join=flags["join"],
        retry_failed=flags["retry_failed"],
    )
