"""Define the flags that both a run and a search take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from asrnn_bench.cli.quantities import interval, names, seconds
from asrnn_bench.files.paths import expanded
from asrnn_bench.jobs.options import Options, chosen_loggers
from asrnn_bench.launching.choice import LAUNCHERS, known_launcher
from asrnn_bench.launching.launcher import LaunchSettings

WHAT, WHERE, CARE, FOLDERS = "What runs", "Where it runs", "While it runs", "Folders"

Folder = Annotated[Path, typer.Argument(metavar="DIR", parser=expanded, help="The --output folder of a run.")]

Models = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Models: names, FILE.py:Class, package.module:Class."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Tasks; default: all of the suite."),
]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", rich_help_panel=WHAT, help="Optimiser steps of each job, in place of the budget's."
    ),
]

LauncherName = Annotated[
    str, typer.Option(metavar="NAME", rich_help_panel=WHERE, help=f"Where jobs run: {', '.join(LAUNCHERS)}.")
]
Devices = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="GPUs, or groups of cores; default: all."),
]
JobsPerDevice = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Jobs that share one device.")
]
DevicesPerJob = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Devices that train one job together.")
]
NodesPerJob = Annotated[int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Slurm nodes of one job.")]
Threads = Annotated[int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="CPU threads of one job.")]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", rich_help_panel=WHERE, help="An option of sbatch; can be repeated."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", rich_help_panel=WHERE, help="Address of a Ray cluster; default: start one here."),
]

TimeLimit = Annotated[
    str | None,
    typer.Option(metavar="TIME", rich_help_panel=CARE, help="End a job after this time, such as 2h."),
]
HangAfter = Annotated[
    str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="End a job that makes no progress for this time.")
]
CheckpointEvery = Annotated[
    str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="Time between checkpoints; also steps, as 100steps.")
]
KeepCheckpoints = Annotated[
    bool, typer.Option("--keep-checkpoints", rich_help_panel=CARE, help="Keep the checkpoints of finished jobs.")
]
Retries = Annotated[
    int, typer.Option(min=0, metavar="N", rich_help_panel=CARE, help="How often a killed job starts again.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=CARE, help="Start failed jobs again, from their checkpoints.")
]
Join = Annotated[
    bool, typer.Option("--join", rich_help_panel=CARE, help="Work beside another runner in the same folder.")
]
LoggerNames = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", rich_help_panel=CARE, help="csv, tensorboard, wandb or none; default: csv."),
]

Output = Annotated[
    Path,
    typer.Option(metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Folder for the directories of jobs."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=expanded,
        rich_help_panel=FOLDERS,
        help="Folder of the data; default: $ASRNN_DATA_DIR, then ./data.",
    ),
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 if a job had no data.")]


def launch_settings(flags: Mapping[str, Any]) -> LaunchSettings:
    """Return where and how jobs run, from the flags of a run or a search.

    Args:
        flags: the value of each flag by its name, such as ``jobs_per_device``.

    Raises:
        UsageError: the launcher or a logger is unknown, or a time cannot be read.
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
