"""The leaderboard as people see it: a table on the terminal, and Markdown."""

import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from rich.table import Table

from asrnn.errors import UsageError
from asrnn_bench.atomic import holds, replace
from asrnn_bench.records import Record
from asrnn_bench.results.leaderboard import csv_of, rows

LEGEND = "± half the 95 % interval: of the mean over seeds where there are several, else over the test samples"

# A character reference is text wherever it stands, and a backslash before a pipe is not: "\\|" ends a cell. An
# underscore within a word is one in every Markdown, as in learning_rate.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def title(record: Record) -> str:
    """Return what a leaderboard is called: its suite, version and budget."""
    return f"{record.job.suite} (version {record.job.suite_version}), budget {record.job.budget}"


def terminal_table(records: list[Record]) -> Table:
    """Return models down and tasks across: test accuracy in per cent, with half the width of its 95 % interval."""
    tasks, models, cells = _matrix(rows(records))
    table = Table(title=title(records[0]), title_justify="left", caption=LEGEND, caption_justify="left")
    table.add_column("test accuracy, %", no_wrap=True)
    for task in tasks:
        table.add_column(task, justify="right")
    for model in models:
        table.add_row(model, *(cells.get((task, model), "") for task in tasks))
    return table


def markdown(records: list[Record]) -> str:
    """Return the leaderboard as Markdown: the table of models and tasks, then each task in full."""
    return _markdown(title(records[0]), rows(records))


def _markdown(heading: str, table: list[dict[str, Any]]) -> str:
    tasks, models, cells = _matrix(table)
    lines = [f"# {heading}", ""]
    lines += [f"Test accuracy in per cent; {LEGEND[0].lower()}{LEGEND[1:]}.", ""]
    lines += _markdown_table(["model", *tasks], [[m, *(cells.get((t, m), "") for t in tasks)] for m in models])
    task_labels, model_labels = _labels(table, "task", "protocol"), _labels(table, "model", "variant")
    for task in tasks:
        lines += ["", f"## {task}", ""]
        head = [
            "model",
            "test accuracy",
            "95 % interval",
            "seeds",
            "units",
            "parameters",
            "ms a step",
            "hyper-parameters",
            "remarks",
        ]
        own = [row for row in table if task_labels[row["task"], row["protocol"]] == task]
        lines += _markdown_table(head, [_details(row, model_labels[row["model"], row["variant"]]) for row in own])
    return "\n".join(lines) + "\n"


def write_leaderboards(leaderboards: Path, records: Iterable[Record]) -> None:
    """Write the CSV and the Markdown of every suite and budget among ``records``, touching none that is right.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        leaderboards.mkdir(parents=True, exist_ok=True)
        for path, text in leaderboard_files(leaderboards, records).items():
            if not holds(path, text):
                replace(path, text)
    except OSError as error:
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error


def leaderboard_files(leaderboards: Path, records: Iterable[Record]) -> dict[Path, str]:
    """Return what each leaderboard file should hold; the Markdown shows the newest version of its suite alone."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if not record.job.tested:
            continue
        groups.setdefault(f"{record.job.suite}.{record.job.budget}", []).append(record)
    files: dict[Path, str] = {}
    for name, group in sorted(groups.items()):
        table = rows(group)
        newest = max(group, key=lambda record: record.job.suite_version)
        shown = [row for row in table if row["suite_version"] == newest.job.suite_version]
        files[leaderboards / f"{name}.csv"] = csv_of(table)
        files[leaderboards / f"{name}.md"] = _markdown(title(newest), shown)
    return files


def _matrix(table: list[dict[str, Any]]) -> tuple[list[str], list[str], dict[tuple[str, str], str]]:
    """Return tasks, models and cells: the models with the most scores first, then by their mean.

    A task under several protocols is a column for each; a model of several codes is a row for each.
    """
    tasks, models = _labels(table, "task", "protocol"), _labels(table, "model", "variant")
    cells: dict[tuple[str, str], str] = {}
    scores: dict[str, list[float]] = {}
    for row in table:
        place = (tasks[row["task"], row["protocol"]], models[row["model"], row["variant"]])
        # The same code with other hyper-parameters, as a user's own suite may have it: both, the better one first.
        cells[place] = f"{cells[place]} / {_cell(row)}" if place in cells else _cell(row)
        scores.setdefault(place[1], []).extend([] if row["mean"] is None else [row["mean"]])
    order = sorted(scores, key=lambda model: (-len(scores[model]), -sum(scores[model]), model))
    return list(dict.fromkeys(task for task, _ in cells)), order, cells


def _labels(table: list[dict[str, Any]], name: str, detail: str) -> dict[tuple[str, str], str]:
    """Return what each pair of a name and a detail is called: its name, with the detail where there are several."""
    pairs = dict.fromkeys((row[name], row[detail]) for row in table)
    count = Counter(first for first, _ in pairs)
    return {pair: f"{pair[0]} ({pair[1][:6]})" if count[pair[0]] > 1 else pair[0] for pair in pairs}


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is not None:
        text = f"{100 * row['mean']:.1f} ±{50 * (row['ci_high'] - row['ci_low']):.1f}"
        lost = row["n_diverged"] + row["n_failed"]
        return f"{text} ({lost} lost)" if lost else text
    return next(name for name in ("diverged", "failed", "no_data") if row[f"n_{name}"]).replace("_", " ")


def _details(row: dict[str, Any], model: str) -> list[str]:
    scored = row["mean"] is not None
    origin = f" ({row['hyperparameters_from']})" if row["hyperparameters"] else ""
    return [
        model,
        f"{100 * row['mean']:.2f}" if scored else _cell(row),
        f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}" if scored else "",
        str(row["n_seeds"]),
        "" if row["hidden_size"] is None else str(row["hidden_size"]),
        "" if row["parameters_total"] is None else f"{row['parameters_total']:,}",
        "" if row["step_ms"] is None else f"{row['step_ms']:.0f}",
        row["hyperparameters"] + origin,
        row["reasons"],
    ]


def _markdown_table(head: list[str], body: list[list[str]]) -> list[str]:
    cells = [[_MARKUP.sub(_reference, escape(cell)) for cell in line] for line in body]
    return [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells]]


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
