"""Compute the rows of a leaderboard from records, and write them as CSV."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING, Any

from asrnn_bench.files.plain_text import spreadsheet_safe
from asrnn_bench.records.record import Record
from asrnn_bench.results.columns import COLUMNS
from asrnn_bench.results.entries import making, places
from asrnn_bench.results.ranking import Row, rank, score
from asrnn_bench.results.seeds import Seeds

if TYPE_CHECKING:
    import pandas as pd

COLUMN_NAMES = tuple(column.name for column in COLUMNS)
"""The heading of the CSV."""


def rows(records: Iterable[Record]) -> list[Row]:
    """Return a row for each task, model and configuration of one version of a suite, ordered by task, then by rank.

    The mean is over the seeds that have a score; the others are counted in columns of their own. Trials of a search are
    left out, as they are never tested. A row is a dictionary with the columns, ``is_ranked`` (whether the model is
    recurrent) and ``making`` (what all entries of a model have in common).
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.job.tested:
            groups.setdefault(record.job.config, []).append(record)
    found = places(group[0].job for group in groups.values())
    table = [_row(Seeds(sorted(group, key=_seed), found[config])) for config, group in groups.items()]
    rank(table)
    return sorted(table, key=_order)


def _seed(record: Record) -> int:
    return record.job.seed


def _row(seeds: Seeds) -> Row:
    job = seeds.job
    values = {column.name: column.value(seeds) if column.value else None for column in COLUMNS}
    return {**values, "making": making(job), "is_ranked": job.model.origin != "not-recurrent"}


def _order(row: Row) -> tuple[object, ...]:
    """Order rows by task; then those that are ranked, by rank; then by their mean and their name."""
    known = score(row)
    return row["task"], not row["is_ranked"], row["rank"] or 0, known is None, -(known or 0.0), row["entry"]


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Return the leaderboard as a data frame with the columns of the CSV."""
    import pandas as pd

    return pd.DataFrame(rows(records), columns=list(COLUMN_NAMES))


def csv_text(records: Iterable[Record]) -> str:
    """Return the leaderboard of records as CSV."""
    return csv_of(rows(records))


def csv_of(table: Iterable[Row]) -> str:
    """Return rows of the leaderboard as CSV: numbers with six significant digits, texts safe in a spreadsheet.

    These are the bytes that pandas would write, without the time that its import takes.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMN_NAMES)
    writer.writerows([_csv_cell(row[name]) for name in COLUMN_NAMES] for row in table)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        return spreadsheet_safe(value)
    return f"{value:.6g}" if isinstance(value, float) else value
