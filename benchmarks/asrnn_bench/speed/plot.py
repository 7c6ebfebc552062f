"""Draw the results of a session: time and memory at each size, and how time grows, on logarithmic axes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes as Panel
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from asrnn_bench.speed.contenders import PEERS
from asrnn_bench.speed.growth import Axes, along, slope
from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.sizes import AXIS_LETTERS, AXIS_NAMES, Size
from asrnn_bench.speed.tables import number, place

PANEL_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 3.9, 0.23, 0.9
LABEL_WIDTH, GROWTH_HEIGHT = 2.9, 4.2
STYLE: Any = {"font.size": 9, "axes.titlesize": 9.5, "svg.hashsalt": "asrnn-bench", "svg.fonttype": "none"}
INK, GRID = "#333333", "#e3e3e3"
FAMILIES = {"registered models": "#1f5fa8", "torch.nn": "#c4610f", "torchrecurrent": "#7a4d8f"}
_LINE_STYLES = ("-o", "--s", "-.^", ":D")
_LABEL_GAP = 0.06
"""The smallest distance of two labels, as a fraction of the panel's height."""


def write_plot(path: Path, rows: Sequence[Row], grown: Sequence[Row], axes: Axes) -> list[Path]:
    """Write the plot as PNG and SVG, named after ``path``, and return both paths. Without any times, write nothing."""
    if not any(row.median_ms for row in rows):
        return []
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with mpl.rc_context(STYLE):
        figure = draw(rows, grown if any(row.median_ms for row in grown) else [], axes)
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def draw(rows: Sequence[Row], grown: Sequence[Row], axes: Axes) -> Figure:
    """Draw one column of panels per size, with time above memory, and below them one panel per axis of growth."""
    sizes = list(dict.fromkeys(row.size for row in rows))
    models = _order(rows)
    height = 2 * (ROW_HEIGHT * len(models) + HEAD_HEIGHT)
    width = LABEL_WIDTH + PANEL_WIDTH * max(len(sizes), len(axes) if grown else 0, 2)
    bottom = GROWTH_HEIGHT if grown else 0.0
    figure = Figure(figsize=(width, height + bottom + 0.7), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
    parts = figure.subfigures(2 if grown else 1, 1, squeeze=False, height_ratios=[height, bottom] if grown else None)
    panels = parts[0, 0].subplots(2, len(sizes), sharey=True, squeeze=False)
    for size, time_panel, memory_panel in zip(sizes, *panels, strict=True):
        at_size = [row for row in rows if row.size == size]
        _time_panel(time_panel, at_size, models, size)
        _memory_panel(memory_panel, at_size, models)
    for panel in panels[:, 0]:  # the others share these labels
        for text, model in zip(panel.get_yticklabels(), models, strict=True):
            text.set_color(_colour(model))
    if grown:
        for axis, panel in zip(axes, parts[1, 0].subplots(1, len(axes)), strict=True):
            _growth_panel(panel, grown, axis, axes[axis])
    first = rows[0]
    figure.suptitle(f"One training step: {first.machine}, torch {first.torch} ({first.cpu_capability})", fontsize=11)
    _legend(figure, rows)
    return figure


def _order(rows: Sequence[Row]) -> list[str]:
    """Return the models, sorted by their time with the most threads at the first size."""
    times = {row.model: row.median_ms for row in rows if row.size == rows[0].size and row.median_ms is not None}
    return sorted({row.model for row in rows}, key=lambda model: (times.get(model, float("inf")), model))


def _time_panel(panel: Panel, rows: Sequence[Row], models: Sequence[str], size: Size) -> None:
    places = list(dict.fromkeys(place(row) for row in rows))
    for row in rows:
        y, is_last = models.index(row.model), place(row) == places[-1]
        if row.median_ms is None:
            _text_at_right(panel, y, "failed" if is_last else "")
            continue
        face = _colour(row.model) if is_last else "white"
        panel.plot(row.median_ms, y, "o", color=_colour(row.model), markerfacecolor=face, markersize=6, zorder=3)
        if is_last:
            _text_at_right(panel, y, number(row.median_ms))
            if row.roofline_ms is not None:
                panel.plot(row.roofline_ms, y, "|", color=INK, markersize=11, markeredgewidth=1.6, zorder=2)
    _finish_models(panel, models, f"ms a step; in numbers: {places[-1]}")
    panel.set_title(size.label)


def _memory_panel(panel: Panel, rows: Sequence[Row], models: Sequence[str]) -> None:
    for row in rows:
        if row.peak_mib:
            y = models.index(row.model)
            panel.plot(row.peak_mib, y, "s", color=_colour(row.model), markersize=6, zorder=3)
            _text_at_right(panel, y, number(row.peak_mib))
    _finish_models(panel, models, "peak memory of a step, MiB")


def _finish_models(panel: Panel, models: Sequence[str], label: str) -> None:
    panel.set_xscale("log")
    panel.margins(x=0.08)
    _number_decades(panel.xaxis)
    panel.set_xlabel(label)
    panel.set_yticks(range(len(models)), models)
    panel.set_ylim(len(models) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="both", color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _text_at_right(panel: Panel, y: int, text: str) -> None:
    panel.text(1.01, y, text, transform=panel.get_yaxis_transform(), va="center", ha="left", fontsize=8, color=INK)


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    """Add a legend of the marks and colours, in one line below all panels."""
    places = list(dict.fromkeys(place(row) for row in rows))
    families = {_family(row.model) for row in rows}
    marks = [
        Line2D([], [], marker="o", linestyle="", color=INK, markerfacecolor=INK if name == places[-1] else "white")
        for name in places
    ]
    marks.append(Line2D([], [], marker="|", linestyle="", color=INK, markersize=11, markeredgewidth=1.6))
    labels = [*places, f"matrix products alone (roofline), {places[-1]}"]
    for name, tone in FAMILIES.items():
        if name in families:
            marks.append(Line2D([], [], marker="s", linestyle="", color=tone))
            labels.append(name)
    figure.legend(marks, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8.5)


def _growth_panel(panel: Panel, rows: Sequence[Row], axis: str, sizes: Sequence[Size]) -> None:
    """Draw how the time of a step grows along an axis: a line for each model, with its name and slope at the end."""
    lines = along(rows, axis, sizes)
    styles: dict[str, int] = {}
    for model, points in lines.items():
        tone = _colour(model)
        style = _LINE_STYLES[styles.setdefault(tone, 0) % len(_LINE_STYLES)]
        styles[tone] += 1
        panel.plot(*zip(*points, strict=True), style, color=tone, markersize=4, linewidth=1.4)
    _finish_growth(panel, axis, sizes)
    low, high = (math.log(limit) for limit in panel.get_ylim())
    ends = {model: (math.log(points[-1][1]) - low) / (high - low) for model, points in lines.items()}
    for model, height in spread(ends, _LABEL_GAP).items():
        fitted = slope(lines[model])
        text = model if fitted is None else f"{model}  {fitted:.2f}"
        panel.text(
            1.02, height, text, transform=panel.transAxes, va="center", ha="left", fontsize=8, color=_colour(model)
        )


def spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Raise heights until all are at least ``gap`` apart, in the same order."""
    moved: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        moved[name] = lowest = max(height, lowest + gap)
    return moved


def _finish_growth(panel: Panel, axis: str, sizes: Sequence[Size]) -> None:
    others = [f"{letter}={getattr(sizes[0], name):,}" for name, letter in AXIS_LETTERS.items() if name != axis]
    panel.set_title(f"growth with {AXIS_LETTERS[axis]} at {', '.join(others)} (name, slope)", loc="left")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks([getattr(size, axis) for size in sizes], [f"{getattr(size, axis):,}" for size in sizes])
    panel.xaxis.set_minor_formatter(NullFormatter())
    _number_decades(panel.yaxis)
    panel.set_xlabel(f"{AXIS_LETTERS[axis]}, {AXIS_NAMES[axis]}")
    panel.set_ylabel("ms a step")
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _family(model: str) -> str:
    """Return the family of a contender."""
    package = PEERS.get(model, "").partition(":")[0]
    return package if package in FAMILIES else "registered models"


def _colour(model: str) -> str:
    """Return the colour of a contender, which is that of its family."""
    return FAMILIES[_family(model)]


def _number_decades(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers. The fewer decades it has, the more labels a decade gets."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.7 else (1.0, 3.0) if decades < 3 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())
