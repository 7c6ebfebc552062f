"""The run itself: ``asrnn-bench --suite NAME``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import asrnn
from asrnn.errors import UsageError
from asrnn_bench.cli.app import app
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.results.tables import terminal_table
from asrnn_bench.runner import Machine, Outcome, Places, execute
from asrnn_bench.running.display import dry_run_table, duration
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.slots import find_slots
from asrnn_bench.running.snapshot import known_speeds, plan_seconds
from asrnn_data.image_sets import IMAGE_SETS, images_present, resolve_data_dir

LAUNCHERS = ("local",)
KEPT = ("suite", "models", "tasks", "threads", "output", "leaderboards", "data_dir")
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
    launcher: Annotated[str, typer.Option(help="Where jobs run: local.")] = "local",
    devices: Annotated[
        int | None, typer.Option(min=1, help="GPUs, or groups of cores, to use; by default all.")
    ] = None,
    jobs_per_device: Annotated[int, typer.Option(min=1, help="Jobs that share one device.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a job on CPU.")] = 1,
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
    if launcher not in LAUNCHERS:
        raise UsageError(f"unknown launcher '{launcher}'; there is: {', '.join(LAUNCHERS)}")
    request = Request(budget, names(models), names(tasks), numbers("--seeds", seeds), max_steps, threads)
    plan = make_plan(load_suite(suite), request)
    places = Places(output, leaderboards, resolve_data_dir(data_dir))
    machine = Machine(devices, jobs_per_device)
    console = Console(highlight=False, markup=False)
    if dry_run:
        _print_plan(plan, places, machine, console)
        return 0
    try:
        outcome = execute(plan, places, machine, console)
    except KeyboardInterrupt:
        done = sum(JobDirectory.of(output, job).is_done() for job in plan.jobs)
        console.print(f"interrupted: {done} of {len(plan.jobs)} jobs have their result; run the same command to go on")
        return 130
    _print_outcome(outcome, places, console)
    if plan.budget != plan.suite.full_budget and not (outcome.count("failed") or outcome.count("no-data")):
        given = [f"--{name.replace('_', '-')} {context.params[name]}" for name in KEPT if _was_given(context, name)]
        full = " ".join(["asrnn-bench", *given, "--budget", plan.suite.full_budget])
        console.print(f"The full protocol: {full}", soft_wrap=True)
    return 1 if outcome.count("failed") or (strict and outcome.count("no-data")) else 0


def names(text: str | None) -> list[str]:
    """Return the names of a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def numbers(flag: str, text: str | None) -> list[int]:
    """Return the whole numbers of a list with commas.

    Raises:
        UsageError: one of them is not a whole number of at least 0.
    """
    for word in names(text):
        if not (word.isascii() and word.isdigit()):
            raise UsageError(f"{flag} takes whole numbers with commas between them, such as 0,1,2; found '{word}'")
    return [int(word) for word in names(text)]


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _print_plan(plan: Plan, places: Places, machine: Machine, console: Console) -> None:
    slots = find_slots(devices=machine.devices, jobs_per_device=machine.jobs_per_device, threads=plan.jobs[0].threads)
    speeds = known_speeds(places.output, plan.jobs)
    here = {name for name in IMAGE_SETS if images_present(name, places.data_dir)}
    console.print(dry_run_table(plan.jobs, places.output, speeds, here))
    left = [j for j in plan.jobs if j.task.images in here and not JobDirectory.of(places.output, j).is_done()]
    seconds = plan_seconds(left, speeds, len(slots))
    when = "unknown: no job of this kind has run here yet" if seconds is None else f"about {duration(seconds)}"
    console.print(f"{len(plan.jobs)} jobs, {len(left)} to run, {len(slots)} at a time; time: {when}")


def _print_outcome(outcome: Outcome, places: Places, console: Console) -> None:
    for fault in outcome.faults:
        console.print(f"warning: {fault}", soft_wrap=True)
    suite, budget = outcome.plan.suite, outcome.plan.budget
    if outcome.records:
        console.print(terminal_table(outcome.records))
    for reason, labels in _reasons(outcome).items():
        console.print(f"{', '.join(labels)}: {reason}", soft_wrap=True)
    for job in (record.job for record in outcome.records if record.status == "failed"):
        for attempt in JobDirectory.of(places.output, job).attempts()[-1:]:
            console.print(f"log of {job.label}: {attempt.path / 'worker.log'}", soft_wrap=True)
    csv = places.leaderboards / f"{suite.name}.{budget}.csv"
    console.print(
        f"{outcome.started} of {len(outcome.plan.jobs)} jobs were started now. Leaderboard: {csv}", soft_wrap=True
    )


def _reasons(outcome: Outcome) -> dict[str, list[str]]:
    """Return each reason why jobs have no score, with the jobs it holds for; data are named by their task alone."""
    reasons: dict[str, list[str]] = {}
    for record in outcome.records:
        if record.reason:
            what = (
                f"no data, {record.job.task.name}"
                if record.status == "no-data"
                else f"{record.status}, {record.job.label}"
            )
            labels = reasons.setdefault(record.reason, [])
            labels += [] if what in labels else [what]
    return reasons
