"""What all panels of the picture share: who has which colour, and axes that read as numbers."""

import math

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from asrnn_bench.speed.contenders import PEERS

INK, GRID = "#333333", "#e3e3e3"
FAMILIES = {"registered models": "#1f5fa8", "torch.nn": "#c4610f", "torchrecurrent": "#7a4d8f"}


def family(model: str) -> str:
    """Return the family that a contender belongs to."""
    package = PEERS.get(model, "").partition(":")[0]
    return package if package in FAMILIES else "registered models"


def colour(model: str) -> str:
    """Return a contender's colour, its family's."""
    return FAMILIES[family(model)]


def number_decades(axis: Axis) -> None:
    """Write plain numbers along a logarithmic axis: more of them within a decade the fewer decades there are."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.7 else (1.0, 3.0) if decades < 3 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())
