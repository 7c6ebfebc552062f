"""``asrnn-bench list``: what there is, a line each."""

import typer
from rich.console import Console
from rich.table import Table

from asrnn.errors import UnknownNameError
from asrnn.registry import list_models
from asrnn_bench.cli.app import app
from asrnn_bench.planning.spec import NOT_RECURRENT, load_suite, shipped_suites
from asrnn_data.tasks import TASKS

KINDS = ("suites", "tasks", "models")


@app.command("list")
def list_(kind: str = typer.Argument(None, metavar="[suites|tasks|models]")) -> int:
    """Show the suites, tasks and models there are, plug-ins included."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of thing to list", kind, KINDS)
    console = Console(highlight=False, markup=False)
    for name in [kind] if kind else KINDS:
        console.print({"suites": _suites, "tasks": _tasks, "models": _models}[name]())
    return 0


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=None)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    return table


def _suites() -> Table:
    table = _table("suite", "version", "budgets", "what it is", "file")
    for name, path in shipped_suites().items():
        suite = load_suite(name)
        table.add_row(name, str(suite.version), ", ".join(suite.budgets), suite.summary, str(path))
    return table


def _tasks() -> Table:
    table = _table("task", "T", "I", "C", "what it is")
    for task in TASKS.values():
        sizes = (task.sequence_length, task.input_size, task.num_classes)
        table.add_row(task.name, *map(str, sizes), task.summary)
    return table


def _models() -> Table:
    table = _table("model", "origin", "code")
    for source in list_models():
        code = ", ".join(f"{key} {value}" for key, value in source.code.items())
        table.add_row(source.name, source.origin, code)
    for name, version in NOT_RECURRENT.items():
        table.add_row(name, "not recurrent", f"version {version}; a row of every task")
    return table
