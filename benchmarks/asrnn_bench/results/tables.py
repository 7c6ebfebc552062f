"""Show a leaderboard to people, on a terminal and as Markdown, and write the files of each."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asrnn.errors import UsageError
from asrnn_bench.atomic import holds, replace
from asrnn_bench.column_blocks import GAP, column_blocks
from asrnn_bench.disk_errors import is_passing
from asrnn_bench.records import Record
from asrnn_bench.results.boards import UNIT, Board, boards
from asrnn_bench.results.leaderboard import csv_of
from asrnn_bench.results.ranking import Row

UNRANKED = "Not ranked, because they train nothing recurrent:"
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


def terminal_table(records: Iterable[Record], width: int = 80) -> Group:
    """Return the newest leaderboard among records as :func:`board_table` shows it."""
    return board_table(boards(records)[0], width)


def board_table(board: Board, width: int) -> Group:
    """Return models down and tasks across: test accuracy in per cent, with half the width of its 95 % interval.

    Where the tasks are too many for the width there is a table below the other. Models that train nothing recurrent
    stand below a rule. A score is never broken; a name that is too long takes several lines.

    Args:
        board: the leaderboard.
        width: the letters of a line.
    """
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    entries = [*ranked, *unranked]
    texts = {(task, entry): _cell(row) for (task, entry), row in board.cells.items()}
    texts |= {(MEAN_RANK, row["entry"]): _mean_rank(row) for row in board.rows}
    names = [*([MEAN_RANK] if ranked else []), *board.tasks]
    cells = {name: max(len(texts.get((name, entry), "")) for entry in entries) for name in names}
    longest = max(map(len, [FIRST, *entries]))
    first = min(longest, max(LEAST_WIDTH, width - GAP - max(max(cells[name], len(name)) for name in names)))
    widths = {name: max(cells[name], min(len(name), width - first - GAP)) for name in names}
    parts: list[RenderableType] = [Text(board.title, style="bold"), Text(board.order)]
    for block in column_blocks(widths, first, width):
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        table.add_column(FIRST, width=first, overflow="fold")
        for name in block:
            table.add_column(name, width=widths[name], justify="right", overflow="fold")
        for entry in ranked:
            table.add_row(entry, *(texts.get((name, entry), "") for name in block))
        if ranked and unranked:
            table.add_row("─" * first, *("─" * widths[name] for name in block))
        for entry in unranked:
            table.add_row(entry, *(texts.get((name, entry), "") for name in block))
        parts += [Text(), table]
    return Group(*parts, Text(), Text(UNIT))


def board_markdown(board: Board) -> str:
    """Return a leaderboard as Markdown: the table of models and tasks, then each task in full."""
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    lines = [f"# {board.title}", "", UNIT, "", *_paragraph(board.order)]
    if ranked:
        mean_ranks = {row["entry"]: _mean_rank(row) for row in board.rows}
        body = [[entry, mean_ranks[entry], *_scores(board, entry)] for entry in ranked]
        lines += _markdown_table(["model", MEAN_RANK, *board.tasks], body)
    if unranked:
        lines += ["", *_paragraph(UNRANKED)] if ranked else []
        lines += _markdown_table(["model", *board.tasks], [[entry, *_scores(board, entry)] for entry in unranked])
    for task in board.tasks:
        lines += ["", f"## {_plain_markdown(task)}", ""]
        lines += _markdown_table(_DETAILS, [_details(row) for row in board.rows if row["task"] == task])
    return "\n".join(lines) + "\n"


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


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    cells = [[_plain_markdown(cell) for cell in line] for line in [head, *body]]
    return [f"| {' | '.join(line)} |" for line in [cells[0], ["---"] * len(head), *cells[1:]]]


def _plain_markdown(text: str) -> str:
    return _MARKUP.sub(_reference, escape(text))


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
