"""``asrnn-bench speed``: recurrences timed against their peers."""

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
        typer.Option(metavar="DIR", parser=expanded, help="Where speed.csv, growth.csv and plots are replaced."),
    ] = Path("speed"),
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Registered models, FILE.py:Class, package.module:Class, or peers such as nn.GRU "
            "or torchrecurrent.LEM; by default the suite's models and all peers. nn.LSTM is timed with them always. "
            "all: every registered model, its time alone.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="BxTxIxH,...", help="Batch, steps, inputs, units; by default those of the tasks."),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="1,2", help="Threads on CPU; by default one, and one a core. Not on a GPU.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"Times that each step is timed; by default {ROUNDS}.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="About a minute: the first size alone, on all cores, without growth.")
    ] = False,
) -> int:
    """Time a training step of every model and of the peers that are installed, in turns, and its peak memory."""
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
        console.print(f"interrupted: what was timed stands in {output}", soft_wrap=True)
        return 130
    return 1 if failures else 0


def _measure(plan: SpeedPlan, output: Path, console: Console) -> int:
    """Measure, show and write; return the number of rows that failed."""
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
    console.print(f"written: {output}/, its README.md says what is in it", soft_wrap=True)
    return len(session.failures)


@contextmanager
def _progress(console: Console) -> Iterator[Say]:
    """Give a place to say what goes on: one line that changes on a terminal, a line for each stage elsewhere."""
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
