"""Write a leaderboard as Markdown."""

import re
from collections.abc import Callable, Sequence
from html import escape

from asrnn_bench.results.boards import MEAN_RANK, UNIT, Board, mean_rank_text, score_text
from asrnn_bench.results.ranking import Row

UNRANKED = "Below the rule stands what trains nothing recurrent; it is not ranked."
RULE = "───"

# A character reference is text wherever it stands, but a backslash before a pipe is not: "\\|" ends a cell. An
# underscore within a word is one in every Markdown, as in learning_rate.
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def _as(form: str, column: str) -> Callable[[Row], str]:
    """Return a function that formats a column of a row; a value that is ``None`` gives an empty cell."""
    return lambda row: "" if row[column] is None else format(row[column], form)


def _accuracy(row: Row) -> str:
    return score_text(row) if row["mean"] is None else f"{100 * row['mean']:.2f}"


def _interval(row: Row) -> str:
    return "" if row["mean"] is None else f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}"


def _hyperparameters(row: Row) -> str:
    origin = f" ({row['hyperparameters_from']})" if row["hyperparameters"] else ""
    return f"{row['hyperparameters']}{origin}"


DETAILS: dict[str, Callable[[Row], str]] = {
    "rank": _as("d", "rank"),
    "model": _as("", "entry"),
    "test accuracy": _accuracy,
    "95 % interval": _interval,
    "seeds": _as("d", "n_seeds"),
    "units": _as("d", "hidden_size"),
    "parameters": _as(",d", "parameters_total"),
    "ms a step": _as(".0f", "step_ms"),
    "CPU ms a step": _as(".0f", "step_cpu_ms"),
    "hyper-parameters": _hyperparameters,
    "remarks": _as("", "reasons"),
}
"""The columns of the table of one task: their headings, and how each is written from a row of the leaderboard."""


def board_markdown(board: Board) -> str:
    """Return a leaderboard as Markdown: a table of models and tasks, then a table with the details of each task."""
    ranked, unranked = board.entries(ranked=True), board.entries(ranked=False)
    lines = [f"# {board.title}", "", UNIT, "", *_paragraph(board.order)]
    if board.without_data:
        lines += _paragraph(board.without_data)
    if board.tasks:
        lines += _paragraph(UNRANKED) if ranked and unranked else []
        mean_ranks = {row["entry"]: [mean_rank_text(row)] for row in board.rows} if ranked else {}
        body = [
            [[entry, *mean_ranks.get(entry, []), *_scores(board, entry)] for entry in each]
            for each in (ranked, unranked)
        ]
        head = ["model", *([MEAN_RANK] if ranked else []), *board.tasks]
        lines += _table(head, _with_rule(*body))
    for task in board.tasks:
        own = [row for row in board.rows if row["task"] == task]
        body = [
            [[write(row) for write in DETAILS.values()] for row in own if row["is_ranked"] == each]
            for each in (True, False)
        ]
        lines += ["", f"## {_plain_markdown(task)}", "", *_table(list(DETAILS), _with_rule(*body))]
    return "\n".join(lines).rstrip("\n") + "\n"


def _scores(board: Board, entry: str) -> list[str]:
    return [score_text(board.cells[task, entry]) if (task, entry) in board.cells else "" for task in board.tasks]


def _paragraph(text: str) -> list[str]:
    return [_plain_markdown(text), ""]


def _with_rule(above: list[list[str]], below: list[list[str]]) -> list[list[str]]:
    """Return the lines of a table, with a rule between the entries that are ranked and those that are not."""
    return [*above, *([[RULE] * len(above[0])] if above and below else []), *below]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    cells = [[_plain_markdown(cell) for cell in line] for line in [head, *body]]
    return [f"| {' | '.join(line)} |" for line in [cells[0], ["---"] * len(head), *cells[1:]]]


def _plain_markdown(text: str) -> str:
    """Return ``text`` so that Markdown and HTML show it as it is."""
    return _MARKUP.sub(_reference, escape(text))


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
