"""Draw the picture of equal tuning: for each task the expected best of k trials, with a line for each model."""

from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from asrnn_bench.search.expected_best import Curves

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#b22222", "#5d3a9b", "#333333", "#e69f00")
"""Colours that people with colour blindness can tell apart (after Okabe and Ito)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Seven markers and ten colours together tell 70 models apart."""

GRID = "#e3e3e3"
COLUMNS = 2
PANEL_WIDTH, PANEL_HEIGHT, HEAD_HEIGHT, LEGEND_ROW_HEIGHT = 4.2, 3.0, 0.7, 0.25
STYLE: Any = {"font.size": 9, "axes.titlesize": 10, "svg.hashsalt": "asrnn-bench", "svg.fonttype": "none"}


def write_picture(path: Path, found: Curves) -> list[Path]:
    """Write the picture beside ``path`` as PNG and as SVG, and return both."""
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with mpl.rc_context(STYLE):
        figure = draw(found)
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def draw(found: Curves) -> Figure:
    """Draw a panel for each task, and one legend below all panels."""
    tasks, models = (list(dict.fromkeys(place[part] for place in found)) for part in (0, 1))
    looks = dict(zip(models, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False))
    columns = min(COLUMNS, len(tasks))
    rows, legend_columns = -(-len(tasks) // columns), max(2, 2 * columns)
    legend_height = LEGEND_ROW_HEIGHT * -(-len(models) // legend_columns)
    height = PANEL_HEIGHT * rows + HEAD_HEIGHT + legend_height
    figure = Figure(figsize=(PANEL_WIDTH * columns, height), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, task in zip(panels, tasks, strict=False):
        for (name, model), curve in found.items():
            if name == task:
                _line(panel, curve, *looks[model])
        _finish(panel, task)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    figure.suptitle("Equal tuning: expected best of k trials", fontsize=11)
    marks = [Line2D([], [], color=colour, marker=marker, markersize=4) for colour, marker in looks.values()]
    figure.legend(marks, models, loc="outside lower center", ncols=min(legend_columns, len(models)), frameon=False)
    return figure


def _line(panel: Axes, curve: list[float], colour: str, marker: str) -> None:
    percent = [100 * value for value in curve]
    panel.plot(range(1, len(curve) + 1), percent, color=colour, marker=marker, markersize=3.5, linewidth=1.4)


def _finish(panel: Axes, task: str) -> None:
    panel.set_title(task)
    panel.set_xlabel("k, trials until the first rung")
    panel.set_ylabel("validation accuracy, %")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
