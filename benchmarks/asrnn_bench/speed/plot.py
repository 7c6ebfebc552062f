"""The picture of a session: time and memory at each size, and growth, on logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes as Panel
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from asrnn_bench.speed.growth import Axes
from asrnn_bench.speed.growth_plot import growth_panel
from asrnn_bench.speed.palette import FAMILIES, GRID, INK, colour, family, number_decades
from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.tables import number, place

PANEL_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 3.9, 0.23, 0.9
LABEL_WIDTH, GROWTH_HEIGHT = 2.9, 4.2
STYLE: Any = {"font.size": 9, "axes.titlesize": 9.5, "svg.hashsalt": "asrnn-bench", "svg.fonttype": "none"}


def write_plot(path: Path, rows: Sequence[Row], grown: Sequence[Row], axes: Axes) -> list[Path]:
    """Write the picture beside ``path`` as PNG and as SVG, and return both; nothing where there are no times."""
    if not any(row.median_ms for row in rows):
        return []
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with mpl.rc_context(STYLE):
        figure = draw(rows, grown if any(row.median_ms for row in grown) else [], axes)
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def draw(rows: Sequence[Row], grown: Sequence[Row], axes: Axes) -> Figure:
    """Draw a column of panels for each size, time above memory, and below them a panel for each axis of growth."""
    sizes = list(dict.fromkeys(row.size for row in rows))
    models = _order(rows)
    height = 2 * (ROW_HEIGHT * len(models) + HEAD_HEIGHT)
    width = LABEL_WIDTH + PANEL_WIDTH * max(len(sizes), len(axes) if grown else 0, 2)
    bottom = GROWTH_HEIGHT if grown else 0.0
    figure = Figure(figsize=(width, height + bottom + 0.7), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
    parts = figure.subfigures(2 if grown else 1, 1, squeeze=False, height_ratios=[height, bottom] if grown else None)
    panels = parts[0, 0].subplots(2, len(sizes), sharey=True, squeeze=False)
    for size, time_panel, memory_panel in zip(sizes, *panels, strict=True):
        own = [row for row in rows if row.size == size]
        _time_panel(time_panel, own, models, size)
        _memory_panel(memory_panel, own, models)
    for panel in panels[:, 0]:  # the others share these labels
        for text, model in zip(panel.get_yticklabels(), models, strict=True):
            text.set_color(colour(model))
    if grown:
        for axis, panel in zip(axes, parts[1, 0].subplots(1, len(axes)), strict=True):
            growth_panel(panel, grown, axis, axes[axis])
    first = rows[0]
    figure.suptitle(f"One training step: {first.machine}, torch {first.torch} ({first.cpu_capability})", fontsize=11)
    _legend(figure, rows)
    return figure


def _order(rows: Sequence[Row]) -> list[str]:
    """Return the models, the fastest first: by the times with the most threads at the first size."""
    times = {row.model: row.median_ms for row in rows if row.size == rows[0].size and row.median_ms is not None}
    return sorted({row.model for row in rows}, key=lambda model: (times.get(model, float("inf")), model))


def _time_panel(panel: Panel, rows: Sequence[Row], models: Sequence[str], size: Size) -> None:
    places = list(dict.fromkeys(place(row) for row in rows))
    for row in rows:
        y, is_last = models.index(row.model), place(row) == places[-1]
        if row.median_ms is None:
            _text_at_right(panel, y, "failed" if is_last else "")
            continue
        face = colour(row.model) if is_last else "white"
        panel.plot(row.median_ms, y, "o", color=colour(row.model), markerfacecolor=face, markersize=6, zorder=3)
        if is_last:
            _text_at_right(panel, y, number(row.median_ms))
            if row.roofline_ms is not None:
                panel.plot(row.roofline_ms, y, "|", color=INK, markersize=11, markeredgewidth=1.6, zorder=2)
    _finish(panel, models, f"ms a step; in numbers: {places[-1]}")
    panel.set_title(size.label)


def _memory_panel(panel: Panel, rows: Sequence[Row], models: Sequence[str]) -> None:
    for row in rows:
        if row.peak_mib:
            y = models.index(row.model)
            panel.plot(row.peak_mib, y, "s", color=colour(row.model), markersize=6, zorder=3)
            _text_at_right(panel, y, number(row.peak_mib))
    _finish(panel, models, "peak memory of a step, MiB")


def _finish(panel: Panel, models: Sequence[str], label: str) -> None:
    panel.set_xscale("log")
    panel.margins(x=0.08)
    number_decades(panel.xaxis)
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
    """Explain marks and colours in one line below all panels."""
    places = list(dict.fromkeys(place(row) for row in rows))
    families = {family(row.model) for row in rows}
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
