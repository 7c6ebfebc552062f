"""The ranges in which a cell's hyper-parameters make sense."""

import math

from asrnn.errors import ModelError


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


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
