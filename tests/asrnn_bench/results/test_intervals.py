import math
from statistics import fmean, stdev

import pytest
from scipy import stats

from asrnn_bench.results.intervals import interval


@pytest.mark.parametrize(
    ("values", "quantile"), [([0.5, 0.6, 0.75], 4.302653), ([0.41, 0.52, 0.47, 0.55, 0.44], 2.776445)]
)
def test_the_interval_over_seeds_has_the_quantile_of_printed_tables(values: list[float], quantile: float) -> None:
    low, high, method = interval(values, 500)
    half = quantile * stdev(values) / math.sqrt(len(values))
    # 1e-6: a table prints seven digits of the quantile, and half is below 1
    assert (low, high) == pytest.approx((fmean(values) - half, fmean(values) + half), abs=1e-6)
    assert method == "student-t over seeds"


def test_the_interval_over_seeds_is_never_narrower_than_the_test_set_allows_nor_beyond_one() -> None:
    assert interval([0.5, 0.5, 0.5], 500) == interval([0.5], 500)
    low, high, _ = interval([0.93, 0.99, 1.0], 500)
    assert high == 1.0
    assert low < 0.93


@pytest.mark.parametrize("hits", [0, 1, 50, 499, 500])
def test_the_interval_of_one_seed_is_wilsons(hits: int) -> None:
    low, high, method = interval([hits / 500], 500)
    expected = stats.binomtest(hits, 500).proportion_ci(0.95, method="wilson")
    # 1e-9: both evaluate the same closed form in float64
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert method == "wilson over test samples"
