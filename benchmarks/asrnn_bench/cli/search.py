"""Search for hyper-parameters: ``asrnn-bench search``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

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
from asrnn_bench.cli.outcome import print_reasons, without_data
from asrnn_bench.cli.quantities import names
from asrnn_bench.files.folders import make_writable, require_writable
from asrnn_bench.files.paths import expanded
from asrnn_bench.files.writing import replace
from asrnn_bench.job_records import is_known_to_be_done
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.planning.trials import search_of
from asrnn_bench.preparing import Folders
from asrnn_bench.search.climbing import Climb, climb, look
from asrnn_bench.search.expected_best import curves, curves_csv
from asrnn_bench.search.halving import SearchPlan, plan_search
from asrnn_bench.search.outcome import best, settings_found, settings_toml, trials_csv
from asrnn_data.image_sets import resolve_data_dir


@app.command()
def search(
    context: typer.Context,
    suite: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", rich_help_panel=WHAT, help="The suite that describes the search."),
    ] = "long-range",
    budget: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=WHAT, help="The budget of trials, in place of the search's."),
    ] = None,
    models: Models = None,
    tasks: Tasks = None,
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
    output: Output = Path("runs/search"),
    leaderboards: Annotated[
        Path,
        typer.Option(
            metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Folder for the picture of equal tuning."
        ),
    ] = Path("leaderboards"),
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    strict: Strict = False,
) -> int:
    """Search for hyper-parameters, with the same number of trials for each model."""
    spec = load_suite(suite)
    found = search_of(spec)
    asked, on = names("--models", models), names("--tasks", tasks)
    plan = plan_search(spec, Request(budget, asked, on, (), max_steps, threads))
    folders = Folders(output, leaderboards, resolve_data_dir(data_dir))
    settings = launch_settings(context.params)
    console = open_console()
    console.print(_size_of(plan), soft_wrap=True)
    if dry_run:
        print_plan(plan.of(look(plan, folders).jobs), folders, settings, console)
        return 0
    require_writable(folders.leaderboards, "--leaderboards")
    try:
        ended = climb(plan, folders, settings, console)
    except KeyboardInterrupt:
        at = look(plan, folders)
        done = sum(is_known_to_be_done(JobDirectory.of(output, job)) for job in at.jobs)
        many = f"{done} of {len(at.jobs)} trials of rung {at.rung + 1}"
        console.print(f"interrupted: {many} have their result; run the same command to go on", soft_wrap=True)
        return 130
    records = [result.record for result in ended.results]
    if lacking := without_data(records, folders):
        console.print(lacking, soft_wrap=True)
    print_reasons(records, folders, console)
    if ended.unsettled:
        many = f"{len(ended.unsettled)} trial{'s' * (len(ended.unsettled) != 1)}"
        console.print(f"{many} did not end; run the same command to go on", soft_wrap=True)
        return 1
    console.print(_table(ended))
    _print_lost_trials(ended, console)
    parts = [spec.name, *([] if plan.plan.budget == found.budget else [plan.plan.budget]), *asked, *on]
    name = ".".join(parts).replace("/", "-").replace(":", "-")
    for path in _write(ended, folders, name, found.same_as):
        console.print(f"written: {path}", soft_wrap=True)
    statuses = {record.status for record in records}
    return 1 if "failed" in statuses or (strict and "no-data" in statuses) else 0


def _size_of(plan: SearchPlan) -> str:
    """Return a line with the trials of each model and task at each rung, and the steps of all of them."""
    first = plan.groups[0]
    counts = [first.places(rung) for rung in range(plan.rungs)]
    steps = sum(map(plan.steps, range(plan.rungs)))
    words = ", then ".join(map(str, counts))
    pairs = f"each of {len(plan.groups)} pairs of a task and a model" if len(plan.groups) > 1 else "a model on a task"
    return f"search: {words} trials of {pairs}, {steps:,} steps in all"


def _table(ended: Climb) -> Table:
    """Return a table of the best trial of each task and model."""
    table = Table(box=None, pad_edge=False)
    for column in ("task", "model"):
        table.add_column(column, overflow="fold")
    for column in ("best trial", "until step", "val. accuracy, %"):
        table.add_column(column, justify="right")
    found = best(ended.results)
    for group in ended.plan.groups:
        result = found.get(group)
        if result is None or result.record.scores is None:
            table.add_row(group.task, group.model, "none", "", "")
            continue
        accuracy = f"{100 * result.record.scores.val_accuracy:.1f}"
        table.add_row(group.task, group.model, str(result.trial.number), f"{result.steps:,}", accuracy)
    return table


def _print_lost_trials(ended: Climb, console: Console) -> None:
    """Print where trials have no score or are missing, because such a model had less training than the others.

    Trials without data are not counted: they have no data for any model.
    """
    for group in ended.plan.groups:
        own = [result for result in ended.results if result.group == group]
        if any(result.record.status == "no-data" for result in own):
            continue
        for rung, until in enumerate(group.rungs):
            took_part = [result for result in own if result.steps == until]
            lost = sum(result.record.scores is None for result in took_part)
            if lost or len(took_part) < group.places(rung):
                ran = f"{len(took_part)} of {group.places(rung)} trials ran until step {until:,}"
                without = f", {lost} of them have no score" if lost else ""
                console.print(f"{group.task} / {group.model}: {ran}{without}", soft_wrap=True)


def _write(ended: Climb, folders: Folders, name: str, same_as: dict[str, str]) -> list[Path]:
    """Write trials and settings beside the jobs, and the curves of equal tuning beside the leaderboards."""
    from asrnn_bench.search.picture import write_picture  # matplotlib takes half a second to import

    make_writable(folders.leaderboards, "--leaderboards")
    table, settings = folders.output / f"{name}.trials.csv", folders.output / f"{name}.settings.toml"
    replace(table, trials_csv(ended.results))
    replace(settings, settings_toml(settings_found(ended.results, table.name, same_as)))
    found = curves(ended.results)
    if not found:
        return [table, settings]
    expected = folders.leaderboards / f"{name}.equal-tuning.csv"
    replace(expected, curves_csv(found))
    return [table, settings, expected, *write_picture(expected, found)]
