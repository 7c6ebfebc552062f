"""Show a leaderboard on a terminal of any width."""

import re
from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import MEAN_RANK, UNIT, Board, boards, mean_rank_text, score_text
from asrnn_bench.results.column_blocks import GAP, column_blocks

FIRST = "test accuracy, %"
"""The heading of the column of models."""

LEAST_WIDTH = 20
"""The least width of the column of models, where a longer name leaves too little room for the tasks."""


def terminal_table(records: Iterable[Record], width: int = 80, *, without_data: str | None = None) -> Group:
    """Return the newest leaderboard among records as :func:`board_table` shows it."""
    return board_table(boards(records)[0], width, without_data=without_data)


def board_table(board: Board, width: int, *, without_data: str | None = None) -> Group:
    """Return a row for each model and a column for each task: test accuracy in per cent, ± half its 95 % interval.

    Models that train nothing recurrent stand below a rule. A score is never broken; a name that is too long takes
    several lines. Where the tasks need more than one width, a second table stands below the first. The line about
    missing data is not broken either, as it ends with a command: print the group with ``crop=False``.

    Args:
        board: the leaderboard.
        width: the number of letters in a line.
        without_data: the line about tasks without data; by default their names.
    """
    without_data = board.without_data if without_data is None else without_data
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    entries = [*ranked, *unranked]
    texts = {(task, entry): score_text(row) for (task, entry), row in board.cells.items()}
    texts |= {(MEAN_RANK, row["entry"]): mean_rank_text(row) for row in board.rows}
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
    """Return the width of the column of models, and the width of each other column.

    The first of these that lets all columns stand side by side is taken: every name whole; the names of columns broken
    into lines; the names of models broken too. Where none does, there are several tables, and each name of a column is
    as whole as a line allows.

    Args:
        cells: the width of the widest score of each column.
        longest: the length of the longest name of a model.
        width: the number of letters in a line.
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
    """Return the lines of a column's name: one line where it fits, else broken after hyphens and spaces."""
    if len(name) <= width:
        return [name]
    lines = [""]
    for piece in re.findall(r"[^- ]+[- ]?|[- ]", name):
        if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
