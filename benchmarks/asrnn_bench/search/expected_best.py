"""Compute the expected best of k trials of a model, which shows what more trials would gain (Dodge et al., 2019)."""

import csv
import io
from collections.abc import Iterable, Sequence

from asrnn_bench.search.climbing import Result

COLUMNS = ("task", "model", "trials", "expected_val_accuracy")

Curves = dict[tuple[str, str], list[float]]
"""The expected best of 1, 2, ... trials, by task and model."""


def expected_best(scores: Sequence[float]) -> list[float]:
    """Return the expected best of 1, 2, ..., N draws, with replacement, from N scores.

    With the scores v in ascending order, E_k = sum_i v_i [(i/N)^k - ((i-1)/N)^k]
    (Dodge et al., "Show Your Work", EMNLP 2019, equation 7).
    """
    ascending, count = sorted(scores), len(scores)
    return [
        sum(score * ((i / count) ** k - ((i - 1) / count) ** k) for i, score in enumerate(ascending, start=1))
        for k in range(1, count + 1)
    ]


def curves(results: Iterable[Result]) -> Curves:
    """Return the curve of each task and model, from the first rung, because only there all trials take part.

    A trial without a score counts as 0. A trial without data does not count.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for result in results:
        if result.steps == result.group.rungs[0] and result.record.status != "no-data":
            scores = result.record.scores
            place = (result.group.task, result.group.model)
            found.setdefault(place, []).append(scores.val_accuracy if scores else 0.0)
    return {place: expected_best(scores) for place, scores in found.items()}


def curves_csv(found: Curves) -> str:
    """Return curves as CSV: task, model, number of trials, expected best validation accuracy."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for (task, model), curve in sorted(found.items()):
        for trials, value in enumerate(curve, start=1):
            table.writerow([task, model, trials, f"{value:.4f}"])
    return text.getvalue()
