"""Compute how the time of a step grows with T, B and H: the rows of ``growth.csv``, and the slopes in log-log scale."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import linear_regression
from typing import Any

from asrnn_bench.speed.rows import COLUMNS, Row, as_mapping
from asrnn_bench.speed.sizes import Size

CONTENDERS = ("antisymmetric", "antisymmetric-gated", "unstructured-gated", "nn.LSTM")
"""The contenders whose growth is measured by default: the cells of the paper, and the LSTM."""

GROWTH_COLUMNS = {
    "axis": "the size that grows: `num_steps`, `batch_size` or `hidden_size`",
    **{
        name: meaning
        for name, meaning in COLUMNS.items()
        if name
        not in (
            *("speedup_over_lstm", "roofline_ms", "roofline_share", "product_gflops", "peak_mib", "peak_over_lstm"),
            *("floor_ms", "over_floor", "copy_gb"),
        )
    },
    "slope": "slope of log time against log size, by least squares over the rows of this axis and model; 1 is linear",
}

Axes = Mapping[str, Sequence[Size]]


def slope(points: Iterable[tuple[float, float]]) -> float | None:
    """Fit log y = slope log x + c by least squares, and return the slope, or None for fewer than two different x."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    if len({x for x, _ in logs}) < 2:
        return None
    return float(linear_regression(*zip(*logs, strict=True)).slope)


def along(rows: Iterable[Row], axis: str, sizes: Sequence[Size]) -> dict[str, list[tuple[int, float]]]:
    """Return the points (size along the axis, median milliseconds) of each model, sorted by size."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.size in sizes and row.median_ms is not None:
            lines.setdefault(row.model, []).append((getattr(row, axis), row.median_ms))
    return {model: sorted(points) for model, points in lines.items()}


def growth_rows(rows: Sequence[Row], axes: Axes) -> list[dict[str, Any]]:
    """Return the rows of ``growth.csv``: the rows of each axis, with the slope of their model along that axis."""
    table: list[dict[str, Any]] = []
    for axis, sizes in axes.items():
        slopes = {model: slope(points) for model, points in along(rows, axis, sizes).items()}
        on_axis = (row for row in rows if row.size in sizes)
        table += [{"axis": axis, **as_mapping(row), "slope": slopes.get(row.model)} for row in on_axis]
    return table
