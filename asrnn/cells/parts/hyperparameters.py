"""Check that a cell's hyper-parameters are in their range."""

import math
from collections.abc import Iterable
from numbers import Real

from asrnn.errors import ModelError


def finite(name: str, value: float) -> float:
    """Return a hyper-parameter that may be any finite number.

    Raises:
        ModelError: it is not one.
    """
    if not _is_finite(value):
        raise ModelError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def positive(name: str, value: float) -> float:
    """Return a hyper-parameter that must be finite and above zero.

    Raises:
        ModelError: it is not.
    """
    if not _is_finite(value) or value <= 0:
        raise ModelError(f"{name} must be a finite number above 0, not {value!r}")
    return float(value)


def non_negative(name: str, value: float) -> float:
    """Return a hyper-parameter that must be finite and not below zero.

    Raises:
        ModelError: it is not.
    """
    if not _is_finite(value) or value < 0:
        raise ModelError(f"{name} must be a finite number, 0 or above, not {value!r}")
    return float(value)


def share(name: str, value: float) -> float:
    """Return a hyper-parameter that must be a number from 0 to 1.

    Raises:
        ModelError: it is not.
    """
    if not _is_finite(value) or not 0 <= value <= 1:
        raise ModelError(f"{name} must be a number from 0 to 1, not {value!r}")
    return float(value)


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """Return a hyper-parameter that must be one of a few words.

    Raises:
        ModelError: it is not.
    """
    words = list(choices)
    if value not in words:
        raise ModelError(f"{name} must be {' or '.join(words)}, not {value!r}")
    return value


def _is_finite(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(float(value))
