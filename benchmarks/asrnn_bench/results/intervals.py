"""Compute confidence intervals of accuracies."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The ends of a confidence interval in [0, 1], and the name of the method that gave them."""

    low: float | None
    high: float | None
    method: str


def interval(values: Sequence[float], n_test: int) -> Interval:
    """Return the 95 % confidence interval of the mean of accuracies.

    One seed: Wilson's interval over its test samples (Wilson, JASA 1927), which does not include the spread between
    seeds. Several seeds: Student's t over them, but never narrower than Wilson's, as all share one finite test set.

    Args:
        values: the test accuracy of each seed, in [0, 1].
        n_test: the number of test samples.
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
            return Interval(max(0.0, mean - student), min(1.0, mean + student), "student-t over seeds")
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "wilson over test samples")
