"""``asrnn-bench tune``: the search for hyper-parameters that a suite describes."""

from pathlib import Path
from typing import Annotated

import typer

from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.flags import FOLDERS, DataDir
from asrnn_bench.cli.quantities import names
from asrnn_bench.paths import expanded
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.runner import Machine, Places, is_known_to_be_done, run_jobs
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.tuning import plan_trials, write_outcome
from asrnn_data.image_sets import resolve_data_dir


@app.command()
def tune(
    suite: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The suite that describes the search.")
    ] = "long-range",
    models: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Models to tune; by default the suite's.")
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Tasks to tune on; by default the search's.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="GPUs, or groups of cores; by default all.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of a job on CPU.")] = 1,
    output: Annotated[
        Path, typer.Option(metavar="DIR", parser=expanded, rich_help_panel=FOLDERS, help="Job directories.")
    ] = Path("runs/tuning"),
    data_dir: DataDir = None,
) -> int:
    """Give every model the same number of trials, and write the settings that did best on validation."""
    spec = load_suite(suite)
    trials = plan_trials(spec, names("--models", models), names("--tasks", tasks), threads)
    console = open_console()
    try:
        outcome = run_jobs(trials.plan, Places(output, data_dir=resolve_data_dir(data_dir)), Machine(devices), console)
    except KeyboardInterrupt:
        done = sum(is_known_to_be_done(JobDirectory.of(output, job)) for job in trials.plan.jobs)
        many = f"{done} of {len(trials.plan.jobs)} trials"
        console.print(f"interrupted: {many} have their result; run the same command to go on", soft_wrap=True)
        return 130
    name = (
        ".".join([spec.name, *names("--models", models), *names("--tasks", tasks)]).replace("/", "-").replace(":", "-")
    )
    for path in write_outcome(output, name, spec, trials, outcome.records):
        console.print(f"written: {path}", soft_wrap=True)
    lost = outcome.count("failed") + outcome.count("no-data")
    if lost:
        console.print(f"{lost} of {len(trials.plan.jobs)} trials came to nothing: the models had unequal chances")
    return 1 if lost else 0
