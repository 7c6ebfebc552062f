"""Define the space that trials are drawn from: for each setting an axis, a list of choices or a range of numbers."""

import math
from typing import Annotated

from pydantic import Discriminator, Field, Tag, model_validator

from asrnn.optimizer_names import OptimizerName
from asrnn_bench.planning.values import Argument, Plain, Strict

DIGITS = 3
"""The significant digits of a number that is drawn from a range, so that people can read and type it."""


class Range(Strict):
    """The numbers from ``low`` to ``high``, drawn uniformly, or log-uniformly with ``log``.

    Two whole numbers as ends give whole numbers only, unless ``log`` is set.
    """

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high, and {self.low} is not below {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log = true begins above 0, not at {self.low}")
        return self

    def at(self, share: float) -> int | float:
        """Return the number at a share in [0, 1) of the way from low to high."""
        if isinstance(self.low, int) and isinstance(self.high, int) and not self.log:
            return self.low + int(share * (self.high - self.low + 1))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        number = low + share * (high - low)
        rounded = float(f"{math.exp(number) if self.log else number:.{DIGITS}g}")
        return min(max(rounded, float(self.low)), float(self.high))


def _kind(axis: object) -> str | None:
    """Return the kind of an axis: a list, a range, or a table with an axis for each optimiser."""
    if isinstance(axis, list):
        return "choices"
    if isinstance(axis, dict) and axis and not {"low", "high", "log"} & set(axis):
        return "by-optimizer"
    return "range" if isinstance(axis, dict | Range) else None


_Simple = (
    Annotated[Range, Tag("range")] | Annotated[list[Plain], Field(min_length=1), Tag("choices")]
)  # the axes that an axis by optimiser may hold
_DISCRIMINATOR = Discriminator(
    _kind,
    custom_error_type="axis",
    custom_error_message="an axis is a list of choices, or a range such as { low = 0.001, high = 0.1, log = true }",
)

SimpleAxis = Annotated[_Simple, _DISCRIMINATOR]

Axis = Annotated[_Simple | Annotated[dict[OptimizerName, SimpleAxis], Tag("by-optimizer")], _DISCRIMINATOR]
"""The values that a setting may take: a list of choices; a :class:`Range`; or an axis for each optimiser, where the
setting depends on it."""

Space = dict[Argument, Axis]
"""An axis for each setting that is searched, by name: settings of the training and of the cell."""


def choose(axis: Axis, share: float, optimizer: str) -> Plain:
    """Return the value at a share in [0, 1) of the way along an axis."""
    if isinstance(axis, dict):
        axis = axis[optimizer]  # type: ignore[index]
    if isinstance(axis, Range):
        return axis.at(share)
    return axis[int(share * len(axis))]


def bounds(axis: Axis) -> list[Plain]:
    """Return all choices of an axis, or the two ends of its range, of all optimisers together."""
    if isinstance(axis, dict):
        return [value for part in axis.values() for value in bounds(part)]
    return [axis.low, axis.high] if isinstance(axis, Range) else list(axis)
