"""The page that says what the columns of the tables mean, written beside them."""

from pathlib import Path

from asrnn_bench.files.writing import replace
from asrnn_bench.speed.growth import GROWTH_COLUMNS
from asrnn_bench.speed.rows import COLUMNS

_HEAD = """# What `asrnn-bench speed` measured

One training step of each model: forward, cross entropy of 10 classes on the last state, backward, Adam, float32. All
models of a size take their steps in turns in one process for each number of threads, after a warm-up on an eighth of
the sequence; memory is measured in a process for each model. The C library's
allocator keeps large buffers, as in a job.

Roofline: 6 B T H² + 4 B T I H g operations, g the projections of the input, at the rate that a 4096-square float32
product reaches in the same rounds. It is defined for recurrences that multiply the state by one square matrix.

Floor, of every model: the operations of its own products at that rate, and the bytes of what a step keeps for its
backward and of the input, each written or read twice, at the rate of a copy. `floors.md` sets each model beside it.
"""


def write_column_page(path: Path) -> None:
    """Write the page as Markdown."""
    parts = [_HEAD]
    for name, columns in {"speed.csv": COLUMNS, "growth.csv": GROWTH_COLUMNS}.items():
        lines = [f"| `{column}` | {meaning} |" for column, meaning in columns.items()]
        parts.append("\n".join([f"\n## `{name}`\n", "| column | meaning |", "| --- | --- |", *lines, ""]))
    replace(path, "".join(parts))
