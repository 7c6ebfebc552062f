"""Show a leaderboard to people, on a terminal and as Markdown, and write the files of each."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.writing import holds, replace
from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import UNIT, Board, boards
from asrnn_bench.results.column_blocks import GAP, column_blocks
from asrnn_bench.results.leaderboard import csv_of
from asrnn_bench.results.ranking import Row

UNRANKED = "Below the rule stands what trains nothing recurrent; it is not ranked."
RULE = "───"
FIRST, MEAN_RANK = "test accuracy, %", "mean rank"
LEAST_WIDTH = 20
"""Of the column of models, where the tasks leave it less than the longest name takes."""

# A character reference is text wherever it stands, and a backslash before a pipe is not: "\\|" ends a cell. An
# underscore within a word is one in every Markdown, as in learning_rate.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")

_DETAILS = (
    *("rank", "model", "test accuracy", "95 % interval", "seeds", "units", "parameters", "ms a step"),
    *("CPU ms a step", "hyper-parameters", "remarks"),
)


def terminal_table(records: Iterable[Record], width: int = 80, *, without_data: str | None = None) -> Group:
    """Return the newest leaderboard among records as :func:`board_table` shows it."""
    return board_table(boards(records)[0], width, without_data=without_data)


def board_table(board: Board, width: int, *, without_data: str | None = None) -> Group:
    """Return models down and tasks across: test accuracy in per cent, with half the width of its 95 % interval.

    Models that train nothing recurrent stand below a rule. A score is never broken; a name that is too long takes
    several lines. Where the tasks are still too many for the width there is a table below the other. The line about
    data is never broken, as it ends in a command: print it with ``crop=False``.

    Args:
        board: the leaderboard.
        width: the letters of a line.
        without_data: what is said of the tasks that nobody had the data for; their names by default.
    """
    without_data = board.without_data if without_data is None else without_data
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    entries = [*ranked, *unranked]
    texts = {(task, entry): _cell(row) for (task, entry), row in board.cells.items()}
    texts |= {(MEAN_RANK, row["entry"]): _mean_rank(row) for row in board.rows}
    names = [*([MEAN_RANK] if ranked else []), *board.tasks]
    cells = {name: max(len(texts.get((name, entry), "")) for entry in entries) for name in names}
    first, widths = _widths(cells, max(map(len, [FIRST, *entries])), width)
    parts: list[RenderableType] = [Text(board.title, style="bold"), Text(board.order)]
    for block in column_blocks(widths, first, width) if board.tasks else []:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        table.add_column(FIRST, width=first, overflow="fold", vertical="bottom")
        for name in block:
            head = "\n".join(_broken(name, widths[name]))
            table.add_column(head, width=widths[name], justify="right", overflow="fold", vertical="bottom")
        for entry in ranked:
            table.add_row(entry, *(texts.get((name, entry), "") for name in block))
        if ranked and unranked:
            table.add_row("─" * first, *("─" * widths[name] for name in block))
        for entry in unranked:
            table.add_row(entry, *(texts.get((name, entry), "") for name in block))
        parts += [Text(), table]
    return Group(
        *parts, Text(), *([Text(without_data, no_wrap=True, overflow="ignore")] if without_data else []), Text(UNIT)
    )


def _widths(cells: Mapping[str, int], longest: int, width: int) -> tuple[int, dict[str, int]]:
    """Return the width of the column of models, and of each other column.

    Names of columns are whole where all columns then stand side by side, else broken; then names of models are broken
    too. Where that is not enough either, and there will be several tables, each name is as whole as a line allows.

    Args:
        cells: the widest score of each column.
        longest: the longest name of a model.
        width: the letters of a line.
    """
    whole = {name: max(cell, len(name)) for name, cell in cells.items()}
    broken = {name: max(cell, *map(len, _broken(name, cell))) for name, cell in cells.items()}
    least = min(longest, LEAST_WIDTH)
    for first, widths in ((longest, whole), (longest, broken), (least, broken)):
        used = sum(widths.values()) + GAP * len(widths)
        if first + used <= width:
            return min(longest, width - used), widths
    first = min(longest, max(LEAST_WIDTH, width - GAP - max(whole.values())))
    return first, {name: max(cell, min(len(name), width - first - GAP)) for name, cell in cells.items()}


def _broken(name: str, width: int) -> list[str]:
    """Return the lines of a column's name: whole where it fits, else broken after hyphens and spaces."""
    if len(name) <= width:
        return [name]
    lines = [""]
    for piece in re.findall(r"[^- ]+[- ]?|[- ]", name):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def board_markdown(board: Board) -> str:
    """Return a leaderboard as Markdown: the table of models and tasks, then each task in full."""
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    lines = [f"# {board.title}", "", UNIT, "", *_paragraph(board.order)]
    if board.without_data:
        lines += _paragraph(board.without_data)
    if board.tasks:
        lines += _paragraph(UNRANKED) if ranked and unranked else []
        mean_ranks = {row["entry"]: [_mean_rank(row)] for row in board.rows} if ranked else {}
        body = [
            [[entry, *mean_ranks.get(entry, []), *_scores(board, entry)] for entry in each]
            for each in (ranked, unranked)
        ]
        head = ["model", *([MEAN_RANK] if ranked else []), *board.tasks]
        lines += _markdown_table(head, _with_rule(*body))
    for task in board.tasks:
        own = [row for row in board.rows if row["task"] == task]
        body = [[_details(row) for row in own if row["is_ranked"] == each] for each in (True, False)]
        lines += ["", f"## {_plain_markdown(task)}", "", *_markdown_table(_DETAILS, _with_rule(*body))]
    return "\n".join(lines).rstrip("\n") + "\n"


def write_leaderboards(leaderboards: Path, records: Iterable[Record]) -> list[Board]:
    """Write the CSV and the Markdown of every leaderboard of ``records``, touching none that is right.

    Returns:
        the leaderboards.

    Raises:
        OSError: the file system fails in a way that passes.
        UsageError: the folder cannot be written.
    """
    found = boards(records)
    try:
        leaderboards.mkdir(parents=True, exist_ok=True)
        for path, text in board_files(leaderboards, found).items():
            if not holds(path, text):
                replace(path, text)
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error
    return found


def board_files(leaderboards: Path, found: Iterable[Board]) -> dict[Path, str]:
    """Return what the CSV and the Markdown of each leaderboard should hold."""
    files: dict[Path, str] = {}
    for board in found:
        files[leaderboards / f"{board.name}.csv"] = csv_of(board.rows)
        files[leaderboards / f"{board.name}.md"] = board_markdown(board)
    return files


def _scores(board: Board, entry: str) -> list[str]:
    return [_cell(board.cells[task, entry]) if (task, entry) in board.cells else "" for task in board.tasks]


def _mean_rank(row: Row) -> str:
    return "" if row["mean_rank"] is None else f"{row['mean_rank']:.1f}"


def _cell(row: Row) -> str:
    if row["mean"] is not None:
        text = f"{100 * row['mean']:.1f} ±{50 * (row['ci_high'] - row['ci_low']):.1f}"
        lost = row["n_diverged"] + row["n_failed"]
        return f"{text} ({lost} lost)" if lost else text
    return next(name for name in ("diverged", "failed", "no_data") if row[f"n_{name}"]).replace("_", " ")


def _details(row: Row) -> list[str]:
    scored = row["mean"] is not None
    origin = f" ({row['hyperparameters_from']})" if row["hyperparameters"] else ""
    return [
        "" if row["rank"] is None else str(row["rank"]),
        row["entry"],
        f"{100 * row['mean']:.2f}" if scored else _cell(row),
        f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}" if scored else "",
        str(row["n_seeds"]),
        "" if row["hidden_size"] is None else str(row["hidden_size"]),
        "" if row["parameters_total"] is None else f"{row['parameters_total']:,}",
        "" if row["step_ms"] is None else f"{row['step_ms']:.0f}",
        "" if row["step_cpu_ms"] is None else f"{row['step_cpu_ms']:.0f}",
        row["hyperparameters"] + origin,
        row["reasons"],
    ]


def _paragraph(text: str) -> list[str]:
    return [_plain_markdown(text), ""]


def _with_rule(above: list[list[str]], below: list[list[str]]) -> list[list[str]]:
    """Return the lines of a table with a rule between those that are ranked and those that are not."""
    return [*above, *([[RULE] * len(above[0])] if above and below else []), *below]


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    cells = [[_plain_markdown(cell) for cell in line] for line in [head, *body]]
    return [f"| {' | '.join(line)} |" for line in [cells[0], ["---"] * len(head), *cells[1:]]]


def _plain_markdown(text: str) -> str:
    return _MARKUP.sub(_reference, escape(text))


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
