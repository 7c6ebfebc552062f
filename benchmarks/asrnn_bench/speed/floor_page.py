"""The page that sets every model beside its floor, at every size: ``floors.md``."""

from collections.abc import Sequence
from pathlib import Path

from asrnn_bench.files.writing import replace
from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.tables import number, place

_COLUMNS = ("model", "back end", "ms", "floor", "times")


def write_floor_page(path: Path, rows: Sequence[Row]) -> None:
    """Write a Markdown table for each size and place: what a step takes, its floor, and the first over the second."""
    parts = []
    for size, where in dict.fromkeys((row.size, place(row)) for row in rows):
        here = [row for row in rows if (row.size, place(row)) == (size, where)]
        parts.append(f"{size.label}, {where}, {_machine(here)}\n\n{_table(here)}\n")
    replace(path, "\n".join(parts))


def _machine(rows: Sequence[Row]) -> str:
    first = next((row for row in rows if row.copy_gb is not None), rows[0])
    rates = f"; {number(first.product_gflops)} GFLOP/s, {number(first.copy_gb)} GB/s" if first.copy_gb else ""
    return f"{first.machine} ({first.cpu_capability}), torch {first.torch}{rates}"


def _table(rows: Sequence[Row]) -> str:
    ordered = sorted(rows, key=lambda row: (row.over_floor is None, row.over_floor, row.model))
    lines = [
        (row.model, row.scan_backend, number(row.median_ms), number(row.floor_ms), number(row.over_floor))
        for row in ordered
    ]
    header = [_COLUMNS, ("---", "---", "---:", "---:", "---:")]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*header, *lines])
