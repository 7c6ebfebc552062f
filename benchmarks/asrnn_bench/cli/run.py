"""The run itself: ``asrnn-bench --suite NAME``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import asrnn
from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.flags import FOLDERS, DataDir
from asrnn_bench.cli.outcome import print_outcome, print_plan
from asrnn_bench.cli.quantities import interval, names, numbers, seconds
from asrnn_bench.paths import expanded
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.runner import Machine, Places, execute, is_known_to_be_done
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.choice import known_launcher
from asrnn_bench.running.options import Options, chosen_loggers
from asrnn_data.image_sets import resolve_data_dir

WHAT, WHERE, CARE = "What runs", "Where it runs", "While it runs"

KEPT = (
    *("suite", "models", "tasks", "threads", "output", "leaderboards", "data_dir", "launcher", "slurm_option"),
    *("ray_address", "devices", "jobs_per_device", "devices_per_job", "nodes_per_job"),
)
"""The flags that the command for the full protocol repeats."""


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", rich_help_panel=WHAT, help="The suite to run, or its TOML file.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=WHAT, help="How long jobs train: quick, short or paper."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Models: names, FILE.py:Class, package.module:Class."),
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(metavar="A,B", rich_help_panel=WHAT, help="Tasks of the suite.")
    ] = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option(metavar="0-4,7", rich_help_panel=WHAT, help="Seeds, in place of the budget's."),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", rich_help_panel=WHAT, help="Train for so many optimiser steps instead."),
    ] = None,
    launcher: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=WHERE, help="local, ray or slurm.")
    ] = "local",
    devices: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="GPUs, or groups of cores; by default all."),
    ] = None,
    jobs_per_device: Annotated[
        int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Jobs that share one device.")
    ] = 1,
    devices_per_job: Annotated[
        int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Devices that train one job together.")
    ] = 1,
    nodes_per_job: Annotated[
        int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Slurm nodes of one job.")
    ] = 1,
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", rich_help_panel=WHERE, help="Threads of a job on CPU.")
    ] = 1,
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", rich_help_panel=WHERE, help="An option of sbatch; repeat for more."),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", rich_help_panel=WHERE, help="A Ray cluster; else one is started here."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(metavar="TIME", rich_help_panel=CARE, help="The most that one job may take, such as 2h."),
    ] = None,
    hang_after: Annotated[
        str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="End a job that shows no progress for so long.")
    ] = "10min",
    checkpoint_every: Annotated[
        str, typer.Option(metavar="TIME", rich_help_panel=CARE, help="Save so often; also as 100steps.")
    ] = "5min",
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", rich_help_panel=CARE, help="Keep those of finished jobs.")
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", rich_help_panel=CARE, help="Tries more of a job that was killed.")
    ] = 2,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", rich_help_panel=CARE, help="Try failed jobs again, from checkpoints.")
    ] = False,
    join: Annotated[
        bool, typer.Option("--join", rich_help_panel=CARE, help="Help a runner at work in the same folder.")
    ] = False,
    logger: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", rich_help_panel=CARE, help="csv, tensorboard, wandb or none. [csv]"),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Job directories."),
    ] = Path("runs"),
    leaderboards: Annotated[
        Path,
        typer.Option(metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Records and leaderboards."),
    ] = Path("leaderboards"),
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a job had no data.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> int:
    """The benchmark of long-range memory in recurrent networks."""
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
    loggers = names("--logger", ["csv"] if logger is None else logger)
    request = Request(
        budget, names("--models", models), names("--tasks", tasks), numbers("--seeds", seeds), max_steps, threads
    )
    plan = make_plan(load_suite(suite), request)
    places = Places(output, leaderboards, resolve_data_dir(data_dir))
    every_seconds, every_steps = interval("--checkpoint-every", checkpoint_every)
    options = Options(
        devices_per_job=devices_per_job,
        nodes_per_job=nodes_per_job,
        checkpoint_seconds=every_seconds,
        checkpoint_steps=every_steps,
        time_limit_seconds=seconds("--time-limit", time_limit) if time_limit else None,
        hang_seconds=seconds("--hang-after", hang_after),
        retries=retries,
        keep_checkpoints=keep_checkpoints,
        loggers=chosen_loggers(loggers),
    )
    machine = Machine(
        devices=devices,
        jobs_per_device=jobs_per_device,
        launcher=known_launcher(launcher),
        options=options,
        slurm_options=tuple(slurm_option or ()),
        ray_address=ray_address,
        join=join,
        retry_failed=retry_failed,
    )
    console = open_console()
    if dry_run:
        print_plan(plan, places, machine, console)
        return 0
    try:
        outcome = execute(plan, places, machine, console)
    except KeyboardInterrupt:
        done = sum(is_known_to_be_done(JobDirectory.of(output, job)) for job in plan.jobs)
        console.print(f"interrupted: {done} of {len(plan.jobs)} jobs have their result; run the same command to go on")
        return 130
    print_outcome(outcome, places, console)
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
    """Return a flag as it would be typed, once for each of its values."""
    values = value if isinstance(value, list | tuple) else [value]  # older versions of typer make tuples
    return [f"--{name.replace('_', '-')} {shlex.quote(str(each))}" for each in values]
