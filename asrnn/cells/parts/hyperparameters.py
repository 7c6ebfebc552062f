"""Check that the hyper-parameters of a cell are in their ranges."""

import math
from collections.abc import Iterable
from numbers import Real

from asrnn.errors import ModelError


def finite(name: str, value: float) -> float:
    """Return a hyper-parameter that may be any finite number.

    Raises:
        ModelError: it is not one.
    """
    return _checked(name, value, True, "a finite number")


def positive(name: str, value: float) -> float:
    """Return a hyper-parameter that must be finite and above zero.

    Raises:
        ModelError: it is not.
    """
    return _checked(name, value, _is_finite(value) and value > 0, "a finite number above 0")


def non_negative(name: str, value: float) -> float:
    """Return a hyper-parameter that must be finite and not below zero.

    Raises:
        ModelError: it is not.
    """
    return _checked(name, value, _is_finite(value) and value >= 0, "a finite number, 0 or above")


def unit_interval(name: str, value: float) -> float:
    """Return a hyper-parameter that must be a number from 0 to 1.

    Raises:
        ModelError: it is not.
    """
    return _checked(name, value, _is_finite(value) and 0 <= value <= 1, "a number from 0 to 1")


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """Return a hyper-parameter that must be one of a few words.

    Raises:
        ModelError: it is not.
    """
    words = list(choices)
    if value not in words:
        raise ModelError(f"{name} must be {' or '.join(words)}, not {value!r}")
    return value


def _checked(name: str, value: float, in_range: bool, needed: str) -> float:
    if not (_is_finite(value) and in_range):
        raise ModelError(f"{name} must be {needed}, not {value!r}")
    return float(value)


def _is_finite(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(float(value))
