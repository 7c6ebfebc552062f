"""The run itself: ``asrnn-bench --suite NAME``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import asrnn
from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.outcome import print_outcome, print_plan
from asrnn_bench.cli.quantities import interval, names, numbers, seconds
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.runner import Machine, Places, execute
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.choice import known_launcher
from asrnn_bench.running.options import Options, chosen_loggers
from asrnn_data.image_sets import resolve_data_dir

KEPT = (
    *("suite", "models", "tasks", "threads", "output", "leaderboards", "data_dir", "launcher", "slurm_option"),
    *("ray_address", "devices", "jobs_per_device", "devices_per_job", "nodes_per_job"),
)
"""The flags that the command for the full protocol repeats."""


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="The suite to run, or its TOML file.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="How long each job trains; in long-range quick, short or paper.")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Registered models, rows of the suite, FILE.py:Class or package.module:Class."
        ),
    ] = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="Tasks of the suite.")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1", help="Seeds.")] = None,
    launcher: Annotated[str, typer.Option(help="Where jobs run: local, ray or slurm.")] = "local",
    devices: Annotated[
        int | None, typer.Option(min=1, help="GPUs, or groups of cores, to use; by default all.")
    ] = None,
    jobs_per_device: Annotated[int, typer.Option(min=1, help="Jobs that share one device.")] = 1,
    devices_per_job: Annotated[int, typer.Option(min=1, help="Devices that train one job together.")] = 1,
    nodes_per_job: Annotated[int, typer.Option(min=1, help="Slurm nodes of one job, each with so many devices.")] = 1,
    slurm_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What sbatch is asked for; repeat for more.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster; by default one is started here.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a job on CPU.")] = 1,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="The most that one job may take, such as 2h.")
    ] = None,
    hang_after: Annotated[
        str, typer.Option(metavar="TIME", help="A worker that shows no progress for so long is ended.")
    ] = "10min",
    checkpoint_every: Annotated[
        str, typer.Option(metavar="TIME|STEPS", help="How often training is saved, such as 5min or 100steps.")
    ] = "5min",
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep the last two checkpoints of finished jobs.")
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a job that was killed is tried again without getting any further.")
    ] = 2,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Give failed jobs another chance, from their checkpoints.")
    ] = False,
    join: Annotated[bool, typer.Option("--join", help="Help a runner that is at work in the same folder.")] = False,
    logger: Annotated[
        str, typer.Option(metavar="A,B", help="What keeps curves: csv, tensorboard, wandb, or none.")
    ] = "csv",
    output: Annotated[Path, typer.Option(help="Folder of the job directories.")] = Path("runs"),
    leaderboards: Annotated[Path, typer.Option(help="Folder of records and leaderboards.")] = Path("leaderboards"),
    data_dir: Annotated[
        Path | None, typer.Option(help="A root that torchvision accepts; by default $ASRNN_DATA_DIR, then ./data.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Train for so many optimiser steps instead.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if a job had no data.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
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
    request = Request(budget, names(models), names(tasks), numbers("--seeds", seeds), max_steps, threads)
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
        loggers=chosen_loggers(names(logger)),
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
        done = sum(JobDirectory.of(output, job).is_done() for job in plan.jobs)
        console.print(f"interrupted: {done} of {len(plan.jobs)} jobs have their result; run the same command to go on")
        return 130
    print_outcome(outcome, places, console)
    if plan.budget != plan.suite.full_budget and not (outcome.count("failed") or outcome.count("no-data")):
        given = [word for name in KEPT if _was_given(context, name) for word in _words(name, context.params[name])]
        full = " ".join(["asrnn-bench", *given, "--budget", plan.suite.full_budget])
        console.print(f"The full protocol: {full}", soft_wrap=True)
    return 1 if outcome.count("failed") or (strict and outcome.count("no-data")) else 0


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _words(name: str, value: object) -> list[str]:
    """Return a flag as it would be typed, once for each of its values."""
    values = value if isinstance(value, list) else [value]
    return [f"--{name.replace('_', '-')} {shlex.quote(str(each))}" for each in values]
