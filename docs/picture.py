"""Draw a leaderboard: one panel a task, one point a model with its 95 % interval.

Run `python docs/picture.py leaderboards/long-range.quick.csv docs/images/long-range-quick.png`.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt

PAPER, OTHER, BASELINE = "#1f5fa8", "#444444", "#a0a0a0"
OF_THE_PAPER = ("antisymmetric", "antisymmetric-gated", "unstructured-gated")
NOT_RECURRENT = ("logistic-regression", "chance")


def _colour(model: str) -> str:
    return PAPER if model in OF_THE_PAPER else BASELINE if model in NOT_RECURRENT else OTHER


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the rows of a leaderboard's CSV to a PNG."""
    ranked = table[~table["model"].isin(NOT_RECURRENT)].sort_values("mean_rank")
    models = [*dict.fromkeys(ranked["model"]), *NOT_RECURRENT]
    tasks = sorted(table["task"].unique())
    figure, panels = plt.subplots(1, len(tasks), figsize=(11, 3.6), sharey=True, sharex=True, dpi=160)
    for panel, task in zip(panels, tasks, strict=True):
        rows = table[table["task"] == task].set_index("model")
        for place, model in enumerate(models):
            row = rows.loc[model]
            low, mean, high = 100 * row["ci_low"], 100 * row["mean"], 100 * row["ci_high"]
            panel.plot([low, high], [place, place], color=_colour(model), linewidth=1.4)
            panel.plot(mean, place, "o", color=_colour(model), markersize=4.5)
        panel.axhline(len(models) - len(NOT_RECURRENT) - 0.5, color="#cccccc", linewidth=0.8)
        panel.set_title(task, fontsize=9)
        panel.grid(axis="x", color="#e3e3e3", linewidth=0.6)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(length=0, labelsize=8)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].invert_yaxis()
    panels[0].set_xlim(0, 100)
    panels[0].set_xticks([0, 25, 50, 75, 100])
    for label in panels[0].get_yticklabels():
        label.set_color(_colour(label.get_text()) if label.get_text() not in NOT_RECURRENT else "#777777")
    figure.supxlabel("test accuracy, per cent (blue: the paper's cells; grey: not recurrent)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    draw(pd.read_csv(sys.argv[1]), Path(sys.argv[2]))
