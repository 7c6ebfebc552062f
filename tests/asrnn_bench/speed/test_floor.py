"""The floor, compared with counts by hand and with the recurrences themselves."""

from pathlib import Path

import pytest
from speed_support import MACHINE, contender, timed

import asrnn
from asrnn.cells.parts.fused import FusedCell
from asrnn_bench.speed.contenders import ALL, choose_contenders
from asrnn_bench.speed.floor import WORK, copied_bytes, floor_seconds
from asrnn_bench.speed.plan import make_plan
from asrnn_bench.speed.rows import failed_rows, make_rows
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.tables import write_floor_page

SIZE = Size(2, 3, 5, 7)
OWN_WORK = {"kru", "lmu", "s4d"}  # their scans do more than their equations need, or are no recurrence


def test_the_floor_equals_a_count_by_hand() -> None:
    # 2 * 3 steps of samples. Multiplications: three times 7 x 7, two times 7 x 5, with one addition each. Bytes: 4 for
    # each of 7 kept numbers and 5 inputs, twice.
    operations, moved = 6 * 2 * (3 * 49 + 2 * 35), 6 * 2 * 4 * (7 + 5)
    assert floor_seconds("antisymmetric", SIZE, 1e3, 1e4) == pytest.approx(operations / 1e3 + moved / 1e4)
    assert floor_seconds("antisymmetric@loop", SIZE, 1e3, 1e4) == floor_seconds("antisymmetric", SIZE, 1e3, 1e4)
    assert floor_seconds("nn.LSTM", SIZE, 1e3, 1e4) is None


def test_the_work_of_models_with_other_products() -> None:
    # 12 complex units, factors 2, 2 and 3: each unit has 7 complex products, 28 real ones, three times; V is 24 x 5,
    # twice.
    assert WORK["kru"](5, 12).multiplications == 3 * 12 * 28 + 2 * 24 * 5
    assert WORK["kru"](1, 1).multiplications == 3 * 4 + 2 * 2
    # The learned W_m, W_h, e_h and e_m count three times, the constant A twice, and W_x and e_x for the input twice.
    assert WORK["lmu"](5, 7).multiplications == 3 * (7 * 256 + 49 + 7 + 256) + 2 * 256**2 + 2 * 8 * 5
    assert WORK["lmu"](5, 7).kept == 7 + 256
    assert WORK["s4d"](5, 7).multiplications == 3 * 7 * 64 + 2 * 7 * 5


def test_every_model_has_a_floor() -> None:
    built_in = [source.name for source in asrnn.model_sources() if source.origin == "built-in"]
    assert sorted(WORK) == sorted(built_in)


@pytest.mark.parametrize("name", sorted(WORK.keys() - OWN_WORK))
def test_the_work_is_that_of_the_recurrence(name: str) -> None:
    cell = asrnn.build_cell(name, 2, 8)
    assert isinstance(cell, FusedCell)
    recurrence = cell.recurrence()
    assert recurrence is not None
    work = WORK[name](2, 8)
    assert work.multiplications == 3 * len(recurrence.products) * 64 + 2 * recurrence.num_inputs * 16
    assert work.kept <= recurrence.num_slots * 8  # a slot may hold a number that follows from the others


def test_all_is_every_model_without_growth_and_memory() -> None:
    names = {one.name for one in choose_contenders([ALL])}
    assert names == {*asrnn.list_models(), "nn.LSTM"}
    plan = make_plan(models=[ALL], sizes=None, threads=[1], rounds=None, quick=False)
    assert not plan.axes
    assert not plan.memory
    assert make_plan(models=["rnn"], sizes=None, threads=[1], rounds=None, quick=False).memory


def test_rows_and_the_page_compare_each_model_with_its_floor(tmp_path: Path) -> None:
    answer = timed({"antisymmetric": [0.002], "nn.LSTM": [0.005]}, product=[1.0])
    answer["copy_seconds"] = [copied_bytes() / 2e9]
    chosen = [contender("nn.LSTM"), contender("antisymmetric"), contender("broken")]
    own, *_ = rows = sorted(make_rows(MACHINE, 1, SIZE, chosen, answer, 1000), key=lambda row: row.model)
    assert own.copy_gb == pytest.approx(2.0)
    assert own.floor_ms == pytest.approx((2604 / 2e9 + 576 / 2e9) * 1e3)
    assert own.over_floor == pytest.approx(2.0 / own.floor_ms)
    write_floor_page(tmp_path / "floors.md", [*rows, *failed_rows(MACHINE, 2, SIZE, chosen, "no")])
    lines = (tmp_path / "floors.md").read_text().splitlines()
    assert lines[0].startswith("B=2, T=3, I=5, H=7, 1 thread, a processor (AVX2), torch 2.9.0; ")
    assert lines[4].startswith("| antisymmetric | loop | 2 | ")
    assert "| nn.LSTM | loop | 5 |  |  |" in lines
    assert len(lines) == 2 * 7 + 1
