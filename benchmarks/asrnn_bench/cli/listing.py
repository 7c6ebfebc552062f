"""Define ``asrnn-bench list``, which shows all suites, tasks and models."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from asrnn.errors import UnknownNameError
from asrnn.registry import ModelSource, model_sources
from asrnn.sources.adapters import ADAPTERS
from asrnn_bench.cli.app import app
from asrnn_bench.cli.console import open_console
from asrnn_bench.planning.spec import NOT_RECURRENT
from asrnn_bench.planning.suite_files import load_suite, shipped_suites
from asrnn_data.tasks import TASKS

if TYPE_CHECKING:
    from asrnn.description import ModelDescription

KINDS = ("suites", "tasks", "models")
UNKNOWN = "—"
NARROW = 120
"""The least width of a terminal that shows papers beside the models, and not in a table of their own."""


@app.command("list")
def list_(kind: str = typer.Argument(None, metavar="[suites|tasks|models]")) -> int:
    """Show all suites, tasks and models, plug-ins included; ``list models`` says more about each model."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of thing to list", kind, KINDS)
    console = open_console()
    if kind == "models":
        print_models(console)
        return 0
    for name in [kind] if kind else KINDS:
        {"suites": _print_suites, "tasks": _print_tasks, "models": _print_names}[name](console)
    if not kind:
        console.print("More of each model: asrnn-bench list models")
    return 0


def print_models(console: Console) -> None:
    """Print the paper, size and scan back ends of every registered model. Each model is built for that."""
    from asrnn.description import describe  # only here: it imports torch

    with warnings.catch_warnings(record=True) as left_out:
        warnings.simplefilter("always")
        sources = model_sources()
    described = [describe(source) for source in sources]
    wide = console.width >= NARROW
    console.print(described_models(described, with_papers=wide))
    if not wide:
        console.print()
        papers = _table("model", "paper")
        for model in described:
            papers.add_row(model.source.name, model.paper or UNKNOWN)
        console.print(papers)
    console.print()
    console.print(
        "parameters: degrees of freedom, and state: numbers that a sample carries from step to step; at H=128 and I=1, "
        "without a readout. scan: what can run it on this machine, the fastest first."
    )
    for adapter in ADAPTERS:
        there = ", ".join(adapter.layers()) if adapter.is_installed() else f"not installed; {adapter.advice}"
        console.print(f"models too, as {adapter.package}:NAME: {there}")
    faults = [f"{model.source.name} cannot be used: {model.fault}" for model in described if model.fault]
    for fault in [*(str(warning.message) for warning in left_out), *faults]:
        console.print(f"warning: {fault}", soft_wrap=True)


def described_models(described: "Iterable[ModelDescription]", *, with_papers: bool) -> Table:
    """Return a table with a row for each model."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "family", "year"):
        table.add_column(column, no_wrap=True)
    if with_papers:
        table.add_column("paper", min_width=20)
    for column in ("parameters", "state"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("scan", "origin"):
        table.add_column(column, min_width=8)
    for model in described:
        paper = [model.paper or UNKNOWN] if with_papers else []
        numbers = (_number(model.parameters), _number(model.state_size))
        what = (model.source.name, model.family or UNKNOWN, _number(model.year, ""))
        table.add_row(*what, *paper, *numbers, ", ".join(model.backends) or UNKNOWN, _origin(model.source))
    for name in NOT_RECURRENT:
        paper = ["a row of every task"] if with_papers else []
        table.add_row(name, UNKNOWN, UNKNOWN, *paper, *[UNKNOWN] * 3, "built in")
    return table


def _number(value: int | None, separator: str = ",") -> str:
    return UNKNOWN if value is None else f"{value:{separator}}"


def _origin(source: ModelSource) -> str:
    if source.origin == "entry-point":
        return f"entry point of {source.code['distribution']} {source.code['version']}"
    return source.origin.replace("-", " ")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=None)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    return table


def _print_suites(console: Console) -> None:
    """Print the shipped suites; a path that the width would break has a line of its own."""
    wide = console.width >= NARROW
    table = _table("suite", "version", "budgets", "what it is", *(["file"] if wide else []))
    for name, path in shipped_suites().items():
        suite = load_suite(name)
        row = (name, str(suite.version), ", ".join(suite.budgets), suite.summary)
        table.add_row(*row, *([str(path)] if wide else []))
    console.print(table)
    for name, path in ({} if wide else shipped_suites()).items():
        console.print(f"{name}: {path}", soft_wrap=True)


def _print_tasks(console: Console) -> None:
    table = _table("task", "T", "I", "C", "what it is")
    for task in TASKS.values():
        sizes = (task.sequence_length, task.input_size, task.num_classes)
        table.add_row(task.name, *map(str, sizes), task.summary)
    console.print(table)
    console.print("T: steps, I: inputs a step, C: classes", soft_wrap=True)


def _print_names(console: Console) -> None:
    table = _table("model", "origin", "code")
    for source in model_sources():
        code = ", ".join(f"{key} {value}" for key, value in source.code.items())
        table.add_row(source.name, source.origin, code)
    for name, version in NOT_RECURRENT.items():
        table.add_row(name, "not recurrent", f"version {version}; a row of every task")
    console.print(table)
