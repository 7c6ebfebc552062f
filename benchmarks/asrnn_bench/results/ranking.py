"""Rank the entries of a leaderboard by mean accuracy on each task, and by the mean of these ranks over the tasks."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

Row = dict[str, Any]
"""A row of the leaderboard: its values by column. ``is_ranked`` says whether the row is ranked, and rows of one model
have the same ``making``."""

DIGITS = 12
"""The digits to which accuracies are compared, so that the order in which seeds are added up makes no difference."""


def rank(table: Sequence[Row]) -> None:
    """Write ``rank`` and ``mean_rank`` into the rows of a leaderboard.

    On each task the best mean accuracy has rank 1, and equals share a rank. A seed that diverged or failed counts as 0.
    An entry without a score on a task gets the last rank of all entries, whether it diverged, failed or is missing, so
    that no entry gains by a task that it did not do. A model with several configurations on one task may have only one
    on another task. There each of its entries is ranked by that one score (it is lent to them), and an entry with no
    other scores has no mean rank. A task for which no entry had the data does not count. Models that train nothing
    recurrent are not ranked.
    """
    ranked = [row for row in table if row["is_ranked"]]
    tasks, made = counting_tasks(table), {row["entry"]: row["making"] for row in ranked}
    lender = lenders(table)
    placed = {row["entry"] for row in ranked if (row["task"], row["making"]) not in lender}
    last = len(placed)
    scores = {(row["task"], row["entry"]): score(row) for row in ranked}
    ranks: dict[str, dict[str, int]] = {entry: {} for entry in made}
    for task in tasks:
        others = [known for (own, _), known in scores.items() if own == task and known is not None]
        for entry in made:
            own = scores.get((task, lender.get((task, made[entry]), entry)))
            ranks[entry][task] = last if own is None else 1 + sum(other > own for other in others)
    for row in table:
        own_ranks = ranks.get(row["entry"], {}) if row["is_ranked"] else {}
        row["rank"] = own_ranks.get(row["task"])
        row["mean_rank"] = fmean(own_ranks.values()) if own_ranks and row["entry"] in placed else None


def lenders(table: Sequence[Row]) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return the entries whose score on a task counts for all entries of their model, by task and model.

    They are the only entries of their model on the task, while the model has several entries on another task.
    """
    of_model: dict[tuple[str, ...], set[str]] = defaultdict(set)
    there: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for row in table:
        if row["is_ranked"]:
            of_model[row["making"]].add(row["entry"])
            there[row["task"], row["making"]].append(row["entry"])
    return {place: own[0] for place, own in there.items() if len(own) == 1 < len(of_model[place[1]])}


def counting_tasks(table: Sequence[Row]) -> list[str]:
    """Return the tasks that count: those for which a ranked entry had the data."""
    there = {row["task"] for row in table if row["is_ranked"] and row["n_seeds"] + _lost(row)}
    return [task for task in dict.fromkeys(row["task"] for row in table) if task in there]


def score(row: Row) -> float | None:
    """Return the accuracy that a row is ranked by: its mean over all seeds, where a lost seed counts as 0."""
    if not row["n_seeds"]:
        return None
    return float(round(row["mean"] * row["n_seeds"] / (row["n_seeds"] + _lost(row)), DIGITS))


def _lost(row: Row) -> int:
    return int(row["n_diverged"] + row["n_failed"])
