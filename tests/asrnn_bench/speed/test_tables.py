"""The tables of ``asrnn-bench speed``: complete names and numbers on every terminal."""

import io

import pytest
from rich.console import Console

from asrnn_bench.speed.rows import Row
from asrnn_bench.speed.tables import size_table

NAMES = ("torchrecurrent.GatedAntisymmetricRNN", "antisymmetric-gated", "nn.LSTM")


@pytest.mark.parametrize("width", [80, 120])
def test_tables_are_not_truncated(width: int) -> None:
    times = {"median_ms": 12345.0, "min_ms": 12344.0, "speedup_over_lstm": 12.34, "roofline_share": 0.987}
    memory = {"product_gflops": 1234.0, "peak_mib": 23456.0, "peak_over_lstm": 9.87}
    rows = [Row("cpu", 1, 128, 1000, 96, 256, name, "p", "compiled", **times, **memory) for name in NAMES]
    console = Console(file=io.StringIO(), width=width)
    console.print(size_table(rows))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width
    for text in ("12,345", "12,344", "12.34", "99%", "23,456", "987%", "compiled"):
        assert said.count(text) == len(NAMES)
    letters = "".join(line[:40].split("  ")[0].strip() for line in said.splitlines())
    for name in NAMES:
        assert name in letters
