"""Run a suite: ``asrnn-bench --suite NAME``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import asrnn
from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.dry_run import print_plan
from asrnn_bench.cli.flags import (
    FOLDERS,
    WHAT,
    CheckpointEvery,
    DataDir,
    Devices,
    DevicesPerJob,
    DryRun,
    HangAfter,
    JobsPerDevice,
    Join,
    KeepCheckpoints,
    LauncherName,
    LoggerNames,
    MaxSteps,
    Models,
    NodesPerJob,
    Output,
    RayAddress,
    Retries,
    RetryFailed,
    SlurmOption,
    Strict,
    Tasks,
    Threads,
    TimeLimit,
    launch_settings,
)
from asrnn_bench.cli.outcome import print_outcome
from asrnn_bench.cli.quantities import names, numbers
from asrnn_bench.files.paths import expanded
from asrnn_bench.job_records import is_known_to_be_done
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute
from asrnn_data.image_sets import resolve_data_dir

KEPT = (
    *("suite", "models", "tasks", "threads", "output", "leaderboards", "data_dir", "launcher", "slurm_option"),
    *("ray_address", "devices", "jobs_per_device", "devices_per_job", "nodes_per_job"),
)
"""The flags that the command for the full protocol repeats."""


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", rich_help_panel=WHAT, help="Name of a suite, or its TOML file.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=WHAT, help="How long jobs train: quick, short or paper."),
    ] = None,
    models: Models = None,
    tasks: Tasks = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option(metavar="0-4,7", rich_help_panel=WHAT, help="Seeds, in place of the budget's."),
    ] = None,
    max_steps: MaxSteps = None,
    launcher: LauncherName = "local",
    devices: Devices = None,
    jobs_per_device: JobsPerDevice = 1,
    devices_per_job: DevicesPerJob = 1,
    nodes_per_job: NodesPerJob = 1,
    threads: Threads = 1,
    slurm_option: SlurmOption = None,
    ray_address: RayAddress = None,
    time_limit: TimeLimit = None,
    hang_after: HangAfter = "10min",
    checkpoint_every: CheckpointEvery = "5min",
    keep_checkpoints: KeepCheckpoints = False,
    retries: Retries = 2,
    retry_failed: RetryFailed = False,
    join: Join = False,
    logger: LoggerNames = None,
    output: Output = Path("runs"),
    leaderboards: Annotated[
        Path,
        typer.Option(
            metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Folder for records and leaderboards."
        ),
    ] = Path("leaderboards"),
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> int:
    """Benchmark the long-range memory of recurrent networks."""
    if context.invoked_subcommand is not None:
        if suite is not None:
            raise UsageError(f"--suite starts a run and '{context.invoked_subcommand}' does something else: use one")
        return 0
    if version:
        typer.echo(f"asrnn-bench {asrnn.__version__}")
        return 0
    if suite is None:
        if [name for name in context.params if _was_given(context, name)]:
            raise UsageError("a run needs a suite: asrnn-bench --suite long-range; there are: asrnn-bench list suites")
        typer.echo(context.get_help())
        return 0
    request = Request(
        budget, names("--models", models), names("--tasks", tasks), numbers("--seeds", seeds), max_steps, threads
    )
    plan = make_plan(load_suite(suite), request)
    folders = Folders(output, leaderboards, resolve_data_dir(data_dir))
    settings = launch_settings(context.params)
    console = open_console()
    if dry_run:
        print_plan(plan, folders, settings, console)
        return 0
    try:
        outcome = execute(plan, folders, settings, console)
    except KeyboardInterrupt:
        done = sum(is_known_to_be_done(JobDirectory.of(output, job)) for job in plan.jobs)
        console.print(f"interrupted: {done} of {len(plan.jobs)} jobs have their result; run the same command to go on")
        return 130
    print_outcome(outcome, folders, console)
    if plan.budget != plan.suite.full_budget and not (outcome.count("failed") or outcome.count("no-data")):
        given = [word for name in KEPT if _was_given(context, name) for word in _words(name, context.params[name])]
        full = " ".join(["asrnn-bench", *given, "--budget", plan.suite.full_budget])
        console.print(f"The full protocol: {full}", soft_wrap=True)
    incomplete = outcome.leaderboard is None or outcome.count("failed") or (strict and outcome.count("no-data"))
    return 1 if incomplete else 0


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _words(name: str, value: object) -> list[str]:
    """Return a flag as the user types it, once for each of its values."""
    values = value if isinstance(value, list | tuple) else [value]  # older versions of typer make tuples
    return [f"--{name.replace('_', '-')} {shlex.quote(str(each))}" for each in values]
