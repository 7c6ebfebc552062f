"""Growth: the slopes, and the rows of each axis."""

import pytest
from speed_support import MACHINE, contender, timed

from asrnn_bench.speed.growth import GROWTH_COLUMNS, along, growth_rows, slope
from asrnn_bench.speed.plot import spread
from asrnn_bench.speed.rows import Row, make_rows
from asrnn_bench.speed.sizes import GROWTH, Size
from asrnn_bench.speed.tables import growth_table

AXES = {"num_steps": (Size(4, 16, 1, 8), Size(4, 64, 1, 8)), "hidden_size": (Size(4, 16, 1, 8), Size(4, 16, 1, 32))}


@pytest.fixture
def rows() -> list[Row]:
    """Return rows of a model whose time is proportional to T and H squared, and of one that failed."""
    both = [contender("antisymmetric"), contender("broken")]
    sizes = dict.fromkeys(size for sizes in AXES.values() for size in sizes)
    return [
        row
        for size in sizes
        for row in make_rows(
            MACHINE, 2, size, both, timed({"antisymmetric": [size.num_steps * size.hidden_size**2 / 1e6]}), 0
        )
    ]


def test_the_slope_is_the_exponent_of_a_power_law() -> None:
    assert slope([(2.0**k, 3.0 * 2.0 ** (1.5 * k)) for k in range(5)]) == pytest.approx(1.5)
    assert slope([(1.0, 7.0), (10.0, 7.0)]) == 0.0
    assert slope([(4.0, 1.0)]) is None
    assert slope([(4.0, 1.0), (4.0, 2.0)]) is None


def test_each_axis_has_the_rows_of_its_sizes_and_their_slope(rows: list[Row]) -> None:
    table = growth_rows(rows, AXES)
    assert set(table[0]) >= set(GROWTH_COLUMNS)
    own = [row for row in table if row["model"] == "antisymmetric"]
    assert [(row["axis"], row["num_steps"], row["hidden_size"]) for row in own] == [
        ("num_steps", 16, 8),
        ("num_steps", 64, 8),
        ("hidden_size", 16, 8),
        ("hidden_size", 16, 32),
    ]
    assert [row["slope"] for row in own] == pytest.approx([1.0, 1.0, 2.0, 2.0])
    assert {row["slope"] for row in table if row["model"] == "broken"} == {None}
    assert list(along(rows, "num_steps", AXES["num_steps"])) == ["antisymmetric"]
    assert growth_table(rows, AXES).row_count == 2


def test_the_axes_change_one_size_each_and_reach_16384_steps() -> None:
    assert max(size.num_steps for size in GROWTH["num_steps"]) == 16384
    for axis, sizes in GROWTH.items():
        for name in ("batch_size", "num_steps", "input_size", "hidden_size"):
            assert len({getattr(size, name) for size in sizes}) == (len(sizes) if name == axis else 1)


def test_labels_are_moved_apart_and_keep_their_order() -> None:
    moved = spread({"c": 0.52, "a": 0.10, "b": 0.50}, 0.1)
    assert moved == pytest.approx({"a": 0.10, "b": 0.50, "c": 0.60})
    assert list(moved) == ["a", "b", "c"]
