"""The leaderboard: a deterministic function of records."""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist, fmean, median, stdev
from typing import TYPE_CHECKING, Any

from asrnn_bench.plain_text import plain
from asrnn_bench.records import Job, Record
from asrnn_bench.written import digest

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "task",
    "model",
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
    "step_ms",
    "train_seconds",
    "peak_memory_mib",
    "scan_backend",
    "threads",
    "machine",
    "suite_version",
    "protocol",
    "config",
)
TEXT_COLUMNS = (
    "task",
    "model",
    "reasons",
    "images",
    "variants",
    "hyperparameters",
    "hyperparameters_from",
    "scan_backend",
    "machine",
)
"""The columns of the CSV, in their order; ``leaderboards/README.md`` gives each one's meaning and unit."""

CONFIDENCE = 0.95


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return a row for each task, model and configuration: by task, then the best mean first.

    Seeds are averaged; whatever came to no score is counted beside the mean, never into it. Trials of a search, which
    are never tested, are left out.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        job = record.job
        if not job.tested:
            continue
        groups.setdefault((job.task.name, job.model.name, job.config), []).append(record)
    table = [_row(sorted(group, key=lambda r: r.job.seed)) for group in groups.values()]
    return sorted(
        table, key=lambda r: (r["task"], -(r["mean"] if r["mean"] is not None else -1), r["model"], r["config"])
    )


def frame(records: Iterable[Record]) -> "pd.DataFrame":
    """Return the leaderboard as a data frame with ``COLUMNS``."""
    return _frame(rows(records))


def csv_text(records: Iterable[Record]) -> str:
    """Return the leaderboard as CSV: fixed columns, six significant digits, text cells safe in a spreadsheet."""
    return csv_of(rows(records))


def csv_of(table: list[dict[str, Any]]) -> str:
    """Return rows of the leaderboard as CSV."""
    columns = _frame(table)
    for column in TEXT_COLUMNS:
        columns[column] = columns[column].map(spreadsheet_safe)
    for column in ("n_test", "hidden_size", "parameters_recurrent", "parameters_total"):
        columns[column] = columns[column].astype("Int64")
    return columns.to_csv(index=False, float_format="%.6g", lineterminator="\n")


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
        from scipy.special import stdtrit

        student = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * stdev(values) / math.sqrt(len(values))
        if student > half:
            return max(0.0, mean - student), min(1.0, mean + student), "student-t over seeds"
    return max(0.0, centre - half), min(1.0, centre + half), "wilson over test samples"


def _frame(table: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(table, columns=list(COLUMNS))


def _row(group: list[Record]) -> dict[str, Any]:
    job = group[0].job
    scored = [record.scores for record in group if record.scores is not None]
    accuracies = [scores.test_accuracy for scores in scored if scores.test_accuracy is not None]
    n_test = scored[0].test_samples if accuracies else None
    low, high, method = interval(accuracies, n_test) if n_test else (None, None, "")
    costs = [record.cost for record in group if record.cost is not None]
    steps = [cost.step_seconds for cost in costs if cost.step_seconds is not None]
    return {
        "task": job.task.name,
        "model": job.model.name,
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
        "parameters_recurrent": costs[0].parameters_recurrent if costs else None,
        "parameters_total": costs[0].parameters_total if costs else None,
        "max_steps": job.training.max_steps,
        "batch_size": job.training.batch_size,
        "images": job.task.images,
        "variants": plain(" ".join(f"{kind}={name}" for kind, name in sorted(job.task.variants.items()))),
        "hyperparameters": hyperparameters(job),
        "hyperparameters_from": plain(job.settings),
        "step_ms": 1000 * median(steps) if steps else None,
        "train_seconds": median(cost.train_seconds for cost in costs) if costs else None,
        "peak_memory_mib": max(cost.peak_memory_mib for cost in costs) if costs else None,
        "scan_backend": _each(record.scan_backend for record in group),
        "threads": job.threads,
        "machine": _each(record.environment.get("accelerator") or record.environment.get("cpu") for record in group),
        "suite_version": job.suite_version,
        "protocol": protocol(job),
        "variant": digest([job.model.code, job.threads])[:12],
        "config": job.config,
    }


def protocol(job: Job) -> str:
    """Return a digest of all that must be equal where two models are compared: task, assets, steps, batches."""
    training = job.training.model_dump(include={"batch_size", "max_steps", "validate_every"})
    return digest([job.task.model_dump(mode="json"), training])[:12]


def hyperparameters(job: Job) -> str:
    """Return the job's hyper-parameters as ``name=value`` words; those of the optimiser first."""
    if job.model.name == "chance":
        return ""
    training = job.training
    words: dict[str, object] = {"optimizer": training.optimizer, "learning_rate": training.learning_rate}
    words |= {"momentum": training.momentum} if training.optimizer == "sgd" else {}
    words |= {"weight_decay": training.weight_decay} if training.weight_decay else {}
    words |= {"gradient_clip_norm": training.gradient_clip_norm} if training.gradient_clip_norm else {}
    words |= {"schedule": training.schedule} if training.schedule != "constant" else {}
    words |= dict(sorted(job.model.hyper.items()))
    return plain(" ".join(f"{name}={value}" for name, value in words.items()))


def _each(values: Iterable[object]) -> str:
    return "; ".join(sorted({plain(str(value)) for value in values if value is not None}))
