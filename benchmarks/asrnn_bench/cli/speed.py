"""Time recurrences and their peers: ``asrnn-bench speed``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.cli.quantities import names, numbers
from asrnn_bench.files.folders import make_writable
from asrnn_bench.files.paths import expanded
from asrnn_bench.speed.contenders import missing_peers
from asrnn_bench.speed.plan import ROUNDS, SpeedPlan, make_plan
from asrnn_bench.speed.session import Say, Session
from asrnn_bench.speed.tables import growth_table, remarks, size_table, write_column_page, write_floor_page


@app.command()
def speed(
    output: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            parser=expanded,
            help="Folder for speed.csv, growth.csv, the tables and the plots, which are replaced.",
        ),
    ] = Path("speed"),
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Registered models, FILE.py:Class, package.module:Class, or peers such as nn.GRU "
            "or torchrecurrent.LEM; default: the suite's models and all peers. nn.LSTM is always timed too. "
            "all: every registered model, without memory.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="BxTxIxH,...", help="Batch, steps, inputs and units; default: those of the tasks."),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(metavar="1,2", help="Numbers of CPU threads; default: one, and one per core. Ignores a GPU."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"Number of times that each step is timed; default: {ROUNDS}."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Time only the first size, on all cores, without growth: about a minute.")
    ] = False,
) -> int:
    """Measure the time and the peak memory of a training step of each model."""
    plan = make_plan(
        models=names("--models", models), sizes=sizes, threads=numbers("--threads", threads), rounds=rounds, quick=quick
    )
    make_writable(output, "--output")
    console = open_console()
    for line in [] if models else missing_peers():
        console.print(line, soft_wrap=True)
    try:
        failures = _measure(plan, output, console)
    except KeyboardInterrupt:
        console.print(f"interrupted: the results so far are in {output}", soft_wrap=True)
        return 130
    return 1 if failures else 0


def _measure(plan: SpeedPlan, output: Path, console: Console) -> int:
    """Measure, print and write the results, and return the number of rows that failed."""
    with _progress(console) as say:
        session = Session(plan, output, say)
        write_column_page(output / "README.md")
        for rows in session.time_sizes():
            console.print(size_table(rows))
            for line in remarks(rows):
                console.print(line, soft_wrap=True)
        if plan.axes:
            session.time_growth()
            console.print(growth_table(session.grown, plan.axes))
    from asrnn_bench.speed.plot import write_plot  # matplotlib takes a second to import

    write_floor_page(output / "floors.md", session.rows)
    write_plot(output / "speed", session.rows, session.grown, plan.axes)
    console.print(f"written: {output}/; its README.md explains the files", soft_wrap=True)
    return len(session.failures)


@contextmanager
def _progress(console: Console) -> Iterator[Say]:
    """Yield a function that shows progress: one changing line on a terminal, otherwise one line per stage."""
    stages: list[str] = []

    def say_plainly(stage: str, detail: str) -> None:
        if stage not in stages:
            stages.append(stage)
            console.print(stage, soft_wrap=True)

    if not console.is_terminal:
        yield say_plainly
        return
    with console.status("starting") as status:
        yield lambda stage, detail: status.update(f"{stage}: {detail}")
