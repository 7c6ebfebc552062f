"""Write the results as tables: for the terminal, and as the Markdown pages beside the CSV files."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from asrnn_bench.files.writing import replace
from asrnn_bench.speed.contenders import REFERENCE
from asrnn_bench.speed.growth import GROWTH_COLUMNS, Axes, along, slope
from asrnn_bench.speed.rows import COLUMNS, Row
from asrnn_bench.speed.sizes import AXIS_LETTERS

COUNTERPARTS = {
    "antisymmetric": "torchrecurrent.AntisymmetricRNN",
    "antisymmetric-gated": "torchrecurrent.GatedAntisymmetricRNN",
}
"""For some models, the peer that computes the same recurrence."""

NUMBER_WIDTH = 6

NOISY = 1.5
"""A median above this multiple of the minimum means that something else ran on the machine."""

_FLOOR_COLUMNS = ("model", "back end", "ms", "floor", "times")

_COLUMN_PAGE_HEAD = """# What `asrnn-bench speed` measured

Each number is of one training step of a model: forward, cross entropy of 10 classes on the last state, backward, Adam,
in float32. All models of a size are timed in turns in one process for each number of threads, after a warm-up on an
eighth of the sequence. Memory is measured in a separate process for each model. The C library's allocator keeps large
buffers, as in a job.

Roofline: the time of 6 B T H² + 4 B T I H g operations, g the number of input projections, at the rate of a 4096-square
float32 product in the same rounds. It is defined for recurrences that multiply the state by one square matrix.

Floor, of every model: the time of its own products at that rate, plus the time to move its bytes at the rate of a copy.
The bytes are those that a step keeps for its backward pass and those of the input, each written or read twice.
`floors.md` compares each model with its floor.
"""


def size_table(rows: Sequence[Row]) -> Table:
    """Return the table of one size and number of threads, with the fastest contender first."""
    first = rows[0]
    table = _table(f"{first.size.label}, {place(first)}")
    product = next((row.product_gflops for row in rows if row.product_gflops), None)
    if product:
        table.caption = (
            f"roofline: time of the matrix products alone, at {product:,.0f} GFLOP/s, as a share of the step\n"
            "times floor: time of the step, as a multiple of the time for the model's own products and bytes"
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
    """Return remarks for below the table: comparisons with the same recurrence of a peer, failures, noisy timings."""
    by_name = {row.model: row for row in rows}
    lines = []
    for own, other in COUNTERPARTS.items():
        if own in by_name and other in by_name:
            lines += _comparison(by_name[own], by_name[other])
    lines += [f"{row.model}: {row.reason}" for row in rows if row.reason]
    noisy = [row.model for row in rows if row.median_ms and row.min_ms and row.median_ms > NOISY * row.min_ms]
    if noisy:
        lines.append(f"something else ran on this machine while it timed {', '.join(noisy)}: time them again")
    return lines


def growth_table(rows: Sequence[Row], axes: Axes) -> Table:
    """Return a table of how the time of a step grows along each axis."""
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
    """Add a column of numbers, which stay whole on a narrow terminal where names wrap."""
    table.add_column(name, justify="right", min_width=max(NUMBER_WIDTH, *map(len, name.split())))


def place(row: Row) -> str:
    """Return where a row was measured: its number of threads, or the GPU."""
    return row.machine if row.threads is None else f"{row.threads} thread{'s' * (row.threads > 1)}"


def number(value: float | None) -> str:
    """Format a number with three significant digits, or as an integer from 100 on."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _comparison(own: Row, other: Row) -> list[str]:
    if own.median_ms is None or other.median_ms is None:
        return []
    memory = f", {own.peak_mib / other.peak_mib:.0%} of its memory" if own.peak_mib and other.peak_mib else ""
    return [f"{own.model}: {other.median_ms / own.median_ms:.2f} times as fast as {other.model}{memory}"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def write_column_page(path: Path) -> None:
    """Write the Markdown page that explains the columns of the CSV files."""
    parts = [_COLUMN_PAGE_HEAD]
    for name, columns in {"speed.csv": COLUMNS, "growth.csv": GROWTH_COLUMNS}.items():
        lines = [f"| `{column}` | {meaning} |" for column, meaning in columns.items()]
        parts.append("\n".join([f"\n## `{name}`\n", "| column | meaning |", "| --- | --- |", *lines, ""]))
    replace(path, "".join(parts))


def write_floor_page(path: Path, rows: Sequence[Row]) -> None:
    """Write a Markdown table per size and place: each model's time of a step, its floor, and the ratio of both."""
    parts = []
    for size, where in dict.fromkeys((row.size, place(row)) for row in rows):
        group = [row for row in rows if (row.size, place(row)) == (size, where)]
        parts.append(f"{size.label}, {where}, {_machine_and_rates(group)}\n\n{_floor_table(group)}\n")
    replace(path, "\n".join(parts))


def _machine_and_rates(rows: Sequence[Row]) -> str:
    first = next((row for row in rows if row.copy_gb is not None), rows[0])
    rates = f"; {number(first.product_gflops)} GFLOP/s, {number(first.copy_gb)} GB/s" if first.copy_gb else ""
    return f"{first.machine} ({first.cpu_capability}), torch {first.torch}{rates}"


def _floor_table(rows: Sequence[Row]) -> str:
    ordered = sorted(rows, key=lambda row: (row.over_floor is None, row.over_floor, row.model))
    lines = [
        (row.model, row.scan_backend, number(row.median_ms), number(row.floor_ms), number(row.over_floor))
        for row in ordered
    ]
    header = [_FLOOR_COLUMNS, ("---", "---", "---:", "---:", "---:")]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*header, *lines])
