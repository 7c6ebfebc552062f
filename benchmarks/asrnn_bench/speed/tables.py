"""What people see on the terminal: a table for each size and number of threads, and one of how time grows."""

from collections.abc import Sequence

from rich.table import Table

from asrnn_bench.speed.contenders import REFERENCE
from asrnn_bench.speed.growth import Axes, along, slope
from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.sizes import AXIS_LETTERS

COUNTERPARTS = {
    "antisymmetric": "torchrecurrent.AntisymmetricRNN",
    "antisymmetric-gated": "torchrecurrent.GatedAntisymmetricRNN",
}
"""The same recurrences elsewhere."""

NUMBER_WIDTH = 6

NOISY = 1.5
"""A median so many times the minimum says that the machine did something else too."""


def size_table(rows: Sequence[Row]) -> Table:
    """Return the table of one size and number of threads, the fastest first."""
    first = rows[0]
    table = _table(f"{first.size.label}, {place(first)}")
    product = next((row.product_gflops for row in rows if row.product_gflops), None)
    if product:
        table.caption = (
            f"roofline: share of what the matrix products alone need, at {product:,.0f} GFLOP/s\n"
            "times floor: over what the model's own products and bytes need"
        )
    table.add_column("one training step", overflow="fold")
    table.add_column("back end", overflow="fold", min_width=8)
    has_memory = any(row.peak_mib is not None for row in rows)
    has_floor = any(row.over_floor is not None for row in rows)
    for name in (
        "ms",
        "least",
        f"speed ({REFERENCE} 1)",
        "roofline",
        *(("times floor",) if has_floor else ()),
        *(("MiB", f"of {REFERENCE}'s") if has_memory else ()),
    ):
        _add_numbers(table, name)
    for row in sorted(rows, key=lambda row: (row.median_ms is None, row.median_ms, row.model)):
        cells = [number(row.median_ms), number(row.min_ms)]
        cells += ["" if row.speedup_over_lstm is None else f"{row.speedup_over_lstm:.2f}", _share(row.roofline_share)]
        cells += [number(row.over_floor)] if has_floor else []
        cells += [number(row.peak_mib), _share(row.peak_over_lstm)] if has_memory else []
        table.add_row(row.model, row.scan_backend or "failed", *cells)
    return table


def remarks(rows: Sequence[Row]) -> list[str]:
    """Return lines for below the table: cells beside the same ones elsewhere, what failed, and whether to trust it."""
    by_name = {row.model: row for row in rows}
    lines = []
    for own, other in COUNTERPARTS.items():
        if own in by_name and other in by_name:
            lines += _beside(by_name[own], by_name[other])
    lines += [f"{row.model}: {row.reason}" for row in rows if row.reason]
    noisy = [row.model for row in rows if row.median_ms and row.min_ms and row.median_ms > NOISY * row.min_ms]
    if noisy:
        lines.append(f"something else ran on this machine while it timed {', '.join(noisy)}: time them again")
    return lines


def growth_table(rows: Sequence[Row], axes: Axes) -> Table:
    """Return how the time of a step grows along each axis."""
    table = _table("growth of the time of a step")
    table.caption = "slope: of log time against log size; 1 is linear"
    table.add_column("model", overflow="fold")
    for name in ("axis", "from", "to", "ms", "to ms", "slope"):
        _add_numbers(table, name)
    for axis, sizes in axes.items():
        for model, points in along(rows, axis, sizes).items():
            (start, first), (end, last), fitted = points[0], points[-1], slope(points)
            ends = (f"{start:,}", f"{end:,}", number(first), number(last))
            table.add_row(model, AXIS_LETTERS[axis], *ends, "" if fitted is None else f"{fitted:.2f}")
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)


def _add_numbers(table: Table, name: str) -> None:
    """Add a column whose numbers stay whole on a narrow terminal, where names take two lines."""
    table.add_column(name, justify="right", min_width=max(NUMBER_WIDTH, *map(len, name.split())))


def place(row: Row) -> str:
    """Return where a row was measured, in words: its threads, or the GPU."""
    return row.machine if row.threads is None else f"{row.threads} thread{'s' * (row.threads > 1)}"


def number(value: float | None) -> str:
    """Return three digits of a number, or all before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _beside(own: Row, other: Row) -> list[str]:
    if own.median_ms is None or other.median_ms is None:
        return []
    memory = f", {own.peak_mib / other.peak_mib:.0%} of its memory" if own.peak_mib and other.peak_mib else ""
    return [f"{own.model}: {other.median_ms / own.median_ms:.2f} times as fast as {other.model}{memory}"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
