"""Make the rows of a leaderboard: a deterministic function of records."""

import csv
import math
from collections.abc import Iterable, Sequence
from io import StringIO
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Any

from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.record import Record
from asrnn_bench.results.costs import costs
from asrnn_bench.results.entries import Place, code, hyperparameters, making, places, protocol
from asrnn_bench.results.ranking import rank, score

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "task",
    "model",
    "entry",
    "rank",
    "mean_rank",
    "metric",
    "mean",
    "std",
    "ci_low",
    "ci_high",
    "ci_method",
    "n_seeds",
    "n_diverged",
    "n_failed",
    "n_no_data",
    "reasons",
    "val_mean",
    "n_test",
    "hidden_size",
    "parameters_recurrent",
    "parameters_total",
    "max_steps",
    "batch_size",
    "images",
    "variants",
    "hyperparameters",
    "hyperparameters_from",
    "code",
    "step_ms",
    "step_cpu_ms",
    "train_seconds",
    "peak_memory_mib",
    "scan_backend",
    "threads",
    "machine",
    "processes",
    "slots",
    "jobs_per_device",
    "suite_version",
    "protocol",
    "config",
)
"""The columns of the CSV, in their order; ``leaderboards/README.md`` gives each one's meaning and unit."""

TEXT_COLUMNS = (
    "task",
    "model",
    "entry",
    "reasons",
    "images",
    "variants",
    "hyperparameters",
    "hyperparameters_from",
    "code",
    "scan_backend",
    "machine",
    "processes",
    "slots",
    "jobs_per_device",
)
"""Those that hold words of others, which no spreadsheet may take for a formula."""

CONFIDENCE = 0.95


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return a row for each task, model and configuration of one suite's version: by task, then by rank.

    Seeds are averaged; whatever came to no score is counted beside the mean, never into it. Trials of a search, which
    are never tested, are left out. Rows hold ``COLUMNS``, in ``is_ranked`` whether a model is recurrent, and in
    ``making`` what is equal in all entries of a model.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.job.tested:
            groups.setdefault(record.job.config, []).append(record)
    found = places(group[0].job for group in groups.values())
    table = [_row(sorted(group, key=_by_seed), found[config]) for config, group in groups.items()]
    rank(table)
    return sorted(table, key=_order)


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Return the leaderboard as a data frame with ``COLUMNS``."""
    import pandas as pd

    return pd.DataFrame(rows(records), columns=list(COLUMNS))


def csv_text(records: Iterable[Record]) -> str:
    """Return the leaderboard as CSV: fixed columns, six significant digits, text cells safe in a spreadsheet."""
    return csv_of(rows(records))


def csv_of(table: list[dict[str, Any]]) -> str:
    """Return rows of the leaderboard as CSV, as pandas would write them, but without the time that its import takes."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in table:
        writer.writerow([_csv_cell(column, row[column]) for column in COLUMNS])
    return text.getvalue()


def _csv_cell(column: str, value: object) -> object:
    if column in TEXT_COLUMNS:
        return spreadsheet_safe(str(value))
    return f"{value:.6g}" if isinstance(value, float) else value


def spreadsheet_safe(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def interval(values: Sequence[float], n_test: int) -> tuple[float, float, str]:
    """Return a 95 % interval of the mean accuracy within [0, 1], and how it was made.

    One seed: Wilson's interval over its test samples (Wilson, JASA 1927), which knows nothing of the spread between
    seeds. Several: Student's t over them, but never narrower than Wilson's, as all share one finite test set.
    """
    mean = fmean(values)
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    centre = (mean + z * z / (2 * n_test)) / (1 + z * z / n_test)
    half = z / (1 + z * z / n_test) * math.sqrt(mean * (1 - mean) / n_test + z * z / (4 * n_test * n_test))
    if len(values) > 1:
        from scipy.special import stdtrit  # a quarter of a second to import, which a table of one seed does not need

        quantile = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2))
        student = quantile * stdev(values) / math.sqrt(len(values))
        if student > half:
            return max(0.0, mean - student), min(1.0, mean + student), "student-t over seeds"
    return max(0.0, centre - half), min(1.0, centre + half), "wilson over test samples"


def _order(row: dict[str, Any]) -> tuple[object, ...]:
    """Order rows by task; then those that are ranked, by rank; then by their mean and their name."""
    known = score(row)
    return row["task"], not row["is_ranked"], row["rank"] or 0, known is None, -(known or 0.0), row["entry"]


def _by_seed(record: Record) -> int:
    return record.job.seed


def _row(group: list[Record], place: Place) -> dict[str, Any]:
    job = group[0].job
    scored = [record.scores for record in group if record.scores is not None]
    accuracies = [scores.test_accuracy for scores in scored if scores.test_accuracy is not None]
    n_test = scored[0].test_samples if accuracies else None
    low, high, method = interval(accuracies, n_test) if n_test else (None, None, "")
    cost = next((record.cost for record in group if record.cost is not None), None)
    return {
        "task": place.task,
        "model": job.model.name,
        "entry": place.entry,
        "making": making(job),
        "is_ranked": job.model.origin != "not-recurrent",
        "metric": "accuracy",
        "mean": fmean(accuracies) if accuracies else None,
        "std": stdev(accuracies) if len(accuracies) > 1 else None,
        "ci_low": low,
        "ci_high": high,
        "ci_method": method,
        "n_seeds": len(accuracies),
        "n_diverged": sum(record.status == "diverged" for record in group),
        "n_failed": sum(record.status == "failed" for record in group),
        "n_no_data": sum(record.status == "no-data" for record in group),
        "reasons": "; ".join(dict.fromkeys(plain(record.reason) for record in group if record.reason)),
        "val_mean": fmean(scores.val_accuracy for scores in scored) if scored else None,
        "n_test": n_test,
        "hidden_size": job.model.hidden_size,
        "parameters_recurrent": cost.parameters_recurrent if cost else None,
        "parameters_total": cost.parameters_total if cost else None,
        "max_steps": job.training.max_steps,
        "batch_size": job.training.batch_size,
        "images": job.task.images,
        "variants": plain(" ".join(f"{kind}={name}" for kind, name in sorted(job.task.variants.items()))),
        "hyperparameters": hyperparameters(job),
        "hyperparameters_from": plain(job.settings),
        "code": code(job),
        **costs(group),
        "threads": job.threads,
        "suite_version": job.suite_version,
        "protocol": protocol(job),
        "config": job.config,
    }
