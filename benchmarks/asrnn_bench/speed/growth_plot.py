"""A panel of the picture: how the time of a step grows along one axis."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes as Panel
from matplotlib.ticker import NullFormatter

from asrnn_bench.speed.growth import along, slope
from asrnn_bench.speed.palette import GRID, colour, number_decades
from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.sizes import AXIS_LETTERS, AXIS_NAMES, Size

LINES = ("-o", "--s", "-.^", ":D")
LABEL_GAP = 0.06
"""The least distance of two labels, as a share of the panel's height."""


def growth_panel(panel: Panel, rows: Sequence[Row], axis: str, sizes: Sequence[Size]) -> None:
    """Draw a line for each model, with its name and slope at the line's end."""
    lines = along(rows, axis, sizes)
    styles: dict[str, int] = {}
    for model, points in lines.items():
        tone = colour(model)
        style = LINES[styles.setdefault(tone, 0) % len(LINES)]
        styles[tone] += 1
        panel.plot(*zip(*points, strict=True), style, color=tone, markersize=4, linewidth=1.4)
    _finish(panel, axis, sizes)
    low, high = (math.log(limit) for limit in panel.get_ylim())
    ends = {model: (math.log(points[-1][1]) - low) / (high - low) for model, points in lines.items()}
    for model, height in spread(ends, LABEL_GAP).items():
        fitted = slope(lines[model])
        text = model if fitted is None else f"{model}  {fitted:.2f}"
        panel.text(
            1.02, height, text, transform=panel.transAxes, va="center", ha="left", fontsize=8, color=colour(model)
        )


def spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Move heights apart, upwards from the lowest, until all are at least ``gap`` apart; their order stays."""
    moved: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        moved[name] = lowest = max(height, lowest + gap)
    return moved


def _finish(panel: Panel, axis: str, sizes: Sequence[Size]) -> None:
    others = [f"{letter}={getattr(sizes[0], name):,}" for name, letter in AXIS_LETTERS.items() if name != axis]
    panel.set_title(f"growth with {AXIS_LETTERS[axis]} at {', '.join(others)} (name, slope)", loc="left")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks([getattr(size, axis) for size in sizes], [f"{getattr(size, axis):,}" for size in sizes])
    panel.xaxis.set_minor_formatter(NullFormatter())
    number_decades(panel.yaxis)
    panel.set_xlabel(f"{AXIS_LETTERS[axis]}, {AXIS_NAMES[axis]}")
    panel.set_ylabel("ms a step")
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
