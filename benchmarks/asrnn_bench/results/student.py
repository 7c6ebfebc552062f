"""Compute quantiles of Student's t distribution without scipy, whose import takes longer than a whole leaderboard."""

import math
from functools import cache


@cache
def student_quantile(degrees: int, probability: float) -> float:
    """Return the quantile of Student's t distribution, to about 14 digits.

    For a whole number n of degrees of freedom the distribution function is a finite sum (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4). It is inverted by halving an interval of the angle
    arctan(t / sqrt(n)).

    Args:
        degrees: n, at least 1.
        probability: above 0.5 and below 1.
    """
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if (1 + _within(degrees, middle)) / 2 < probability else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(degrees: int, angle: float) -> float:
    """Return the probability of a t between plus and minus sqrt(n) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    total = 0.0
    for power in range(degrees % 2 + 2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (power - 1) / power
    return 2 / math.pi * (angle + sine * total) if degrees % 2 else sine * total
