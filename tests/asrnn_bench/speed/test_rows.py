"""The rows of speed.csv: medians, ratios, failures, columns."""

import csv
import io
from dataclasses import fields
from pathlib import Path

import pytest
from speed_support import MACHINE, contender, timed

from asrnn_bench.speed.growth import GROWTH_COLUMNS
from asrnn_bench.speed.rows import (
    COLUMNS,
    MachineDescription,
    Row,
    as_mapping,
    csv_text,
    failed_rows,
    make_rows,
    with_memory,
)
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.tables import remarks, write_column_page

SIZE = Size(2, 3, 5, 7)
CONTENDERS = [contender("antisymmetric"), contender("nn.LSTM"), contender("broken")]


@pytest.fixture
def rows() -> list[Row]:
    answer = timed({"antisymmetric": [0.004, 0.001, 0.002], "nn.LSTM": [0.009, 0.006, 0.005]}, product=[3.0, 1.0, 2.0])
    answer["reasons"] = {"broken": "ValueError: no"}
    return make_rows(MACHINE, 2, SIZE, CONTENDERS, answer, 100)


def test_a_row_has_the_median_the_minimum_and_the_ratios(rows: list[Row]) -> None:
    own, lstm, broken = rows
    assert (own.median_ms, own.min_ms, own.rounds) == (2.0, 1.0, 3)
    assert own.speedup_over_lstm == pytest.approx(6.0 / 2.0)
    assert lstm.speedup_over_lstm == 1.0
    # 2 million operations in the median of 2 s are 1e-3 GFLOP/s; the step has 2604 operations: 2.604 ms.
    assert own.product_gflops == pytest.approx(1e-3)
    assert own.roofline_ms == pytest.approx(2.604)
    assert own.roofline_share == pytest.approx(2.604 / 2.0)
    assert lstm.roofline_ms is None
    assert lstm.roofline_share is None
    assert (broken.median_ms, broken.reason) == (None, "ValueError: no")
    assert [row.threads for row in rows] == [2, 2, 2]


def test_a_row_of_a_gpu_has_no_threads() -> None:
    gpu = MachineDescription("cuda", "a GPU", "AVX2", "2.9", "")
    rows = make_rows(gpu, 2, SIZE, CONTENDERS, timed({"nn.LSTM": [1.0]}), 100)
    assert {row.threads for row in rows} == {None}
    assert {row.product_gflops for row in rows} == {None}


def test_memory_is_compared_with_that_of_the_lstm(rows: list[Row]) -> None:
    measured = {"antisymmetric": {"peak_mib": 30.0}, "nn.LSTM": {"peak_mib": 120.0}, "broken": {"reason": "later"}}
    own, lstm, broken = with_memory(rows, measured)
    assert (own.peak_mib, own.peak_over_lstm, lstm.peak_over_lstm) == (30.0, 0.25, 1.0)
    assert (broken.peak_mib, broken.reason) == (None, "ValueError: no")
    (silent,) = with_memory(failed_rows(MACHINE, 1, SIZE, CONTENDERS[1:2], ""), {"nn.LSTM": {"peak_mib": None}})
    assert (silent.peak_mib, silent.peak_over_lstm) == (None, None)


def test_the_columns_are_the_fields_in_their_order_and_all_are_explained(tmp_path: Path) -> None:
    assert list(COLUMNS) == [field.name for field in fields(Row)]
    write_column_page(tmp_path / "README.md")
    page = (tmp_path / "README.md").read_text()
    for name in [*COLUMNS, *GROWTH_COLUMNS]:
        assert f"| `{name}` | " in page


def test_the_csv_reads_back_and_no_cell_is_a_formula(rows: list[Row]) -> None:
    text = csv_text(COLUMNS, [as_mapping(row) | {"reason": "=1+1"} for row in rows])
    read = list(csv.DictReader(io.StringIO(text)))
    assert list(read[0]) == list(COLUMNS)
    assert read[0]["median_ms"] == "2"
    assert read[1]["roofline_ms"] == ""
    assert {row["reason"] for row in read} == {"'=1+1"}


def test_the_remarks_report_failures_and_noisy_timings(rows: list[Row]) -> None:
    assert remarks(rows) == [
        "broken: ValueError: no",
        "something else ran on this machine while it timed antisymmetric: time them again",
    ]


def test_the_remarks_compare_a_cell_with_the_same_recurrence_of_a_peer() -> None:
    other = "torchrecurrent.AntisymmetricRNN"
    both = [contender("antisymmetric"), contender(other)]
    rows = make_rows(MACHINE, 1, SIZE, both, timed({"antisymmetric": [0.1], other: [0.55]}), 100)
    rows = with_memory(rows, {"antisymmetric": {"peak_mib": 20.0}, other: {"peak_mib": 100.0}})
    assert remarks(rows) == [f"antisymmetric: 5.50 times as fast as {other}, 20% of its memory"]
