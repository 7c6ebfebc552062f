"""Divide records into leaderboards: one for each suite, budget and version of the suite."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from asrnn_bench.records.record import Record
from asrnn_bench.results.leaderboard import rows
from asrnn_bench.results.ranking import Row, counting_tasks, lenders, score

UNIT = (
    "Test accuracy in per cent; ± half the 95 % interval: of the mean over seeds where there are several, "
    "else over the test samples."
)

MEAN_RANK = "mean rank"
"""The heading of the column of mean ranks."""

LENDING = (
    "Where a model has several configurations on some tasks, each is ranked with the model's scores on the tasks that "
    "have one; these are listed without a mean rank."
)


@dataclass(frozen=True)
class Board:
    """The leaderboard of one version of a suite at one budget.

    Args:
        suite: the suite.
        budget: the budget.
        version: the version of the suite.
        name: the name of its files, without their endings.
        others: the other versions of the suite that have records.
        records: its records.
    """

    suite: str
    budget: str
    version: int
    name: str
    others: tuple[int, ...]
    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """Its heading."""
        return f"{self.suite} (version {self.version}), budget {self.budget}"

    @property
    def is_newest(self) -> bool:
        """Whether no later version of the suite has records."""
        return all(version < self.version for version in self.others)

    @cached_property
    def rows(self) -> list[Row]:
        """Its rows, as :func:`~asrnn_bench.results.leaderboard.rows` makes them."""
        return rows(self.records)

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks for which at least one job had data, in the order of the rows."""
        return list(dict.fromkeys(row["task"] for row in self.rows if not _lacks_data(row)))

    @cached_property
    def without_data(self) -> str:
        """A line that names the tasks for which no job had data; empty where there are none."""
        lacking = dict.fromkeys(row["task"] for row in self.rows if row["task"] not in self.tasks)
        return f"No data: {', '.join(lacking)}." if lacking else ""

    @cached_property
    def cells(self) -> dict[tuple[str, str], Row]:
        """Its rows by task and entry."""
        return {(row["task"], row["entry"]): row for row in self.rows}

    def entries(self, *, ranked: bool) -> list[str]:
        """Return the entries that are ranked, or those that are not, best first."""
        ranks: dict[str, float] = {}
        scores: dict[str, list[float]] = {}
        for row in self.rows:
            if row["is_ranked"] == ranked:
                ranks[row["entry"]] = math.inf if row["mean_rank"] is None else row["mean_rank"]
                scores.setdefault(row["entry"], []).append(score(row) or 0.0)
        return sorted(ranks, key=lambda entry: (ranks[entry], -fmean(scores[entry]), entry))

    @property
    def order(self) -> str:
        """A sentence that says how the entries are ordered."""
        tasks = counting_tasks(self.rows)
        if not tasks:
            was_tried = any(row["is_ranked"] for row in self.rows)
            return (
                f"Nothing here is ranked, as {'nobody had the data' if was_tried else 'nothing recurrent was trained'}."
            )
        placed = {row["entry"] for row in self.rows if row["mean_rank"] is not None}
        many = f"{len(tasks)} tasks" if len(tasks) != 1 else "one task"
        left_out = [task for task in self.tasks if task not in tasks]
        return (
            f"Order: the mean of the ranks on {many}. On each, the best mean accuracy has rank 1; a seed that diverged "
            f"or failed counts as 0, and an entry without a score as the last, rank {len(placed)}."
            + (f" {LENDING}" if lenders(self.rows) else "")
            + (f" Nothing recurrent had the data for {', '.join(left_out)}." if left_out else "")
        )


def boards(records: Iterable[Record]) -> list[Board]:
    """Return the leaderboards of records: by suite and budget, the newest version first."""
    found: dict[tuple[str, str], dict[int, list[Record]]] = {}
    for record in records:
        job = record.job
        if job.tested:
            found.setdefault((job.suite, job.budget), {}).setdefault(job.suite_version, []).append(record)
    names = _names({key: list(versions) for key, versions in found.items()})
    return [
        Board(
            *key,
            version,
            names[*key, version],
            tuple(sorted(set(versions) - {version})),
            tuple(versions[version]),
        )
        for key, versions in sorted(found.items())
        for version in sorted(versions, reverse=True)
    ]


def score_text(row: Row) -> str:
    """Return the score of a row as tables show it (``UNIT``), or why it has none."""
    if row["mean"] is not None:
        text = f"{100 * row['mean']:.1f} ±{50 * (row['ci_high'] - row['ci_low']):.1f}"
        lost = row["n_diverged"] + row["n_failed"]
        return f"{text} ({lost} lost)" if lost else text
    return next(name for name in ("diverged", "failed", "no_data") if row[f"n_{name}"]).replace("_", " ")


def mean_rank_text(row: Row) -> str:
    """Return the mean rank of a row as tables show it."""
    return "" if row["mean_rank"] is None else f"{row['mean_rank']:.1f}"


def _lacks_data(row: Row) -> bool:
    return bool(row["n_no_data"]) and not row["n_seeds"] + row["n_diverged"] + row["n_failed"]


def _names(found: dict[tuple[str, str], list[int]]) -> dict[tuple[str, str, int], str]:
    """Return the name of each leaderboard's files: suite and budget, and the version unless it is the newest.

    Names of suites and budgets may hold points. Where two leaderboards would have the same name, their parts are joined
    by ``+``, which no name holds.
    """
    names = {
        (suite, budget, version): f"{suite}.{budget}" + ("" if version == max(versions) else f".v{version}")
        for (suite, budget), versions in found.items()
        for version in versions
    }
    count = Counter(names.values())
    return {key: name if count[name] == 1 else "+".join(map(str, key)) for key, name in names.items()}
