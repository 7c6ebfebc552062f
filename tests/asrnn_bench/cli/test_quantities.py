import pytest

from asrnn.errors import UsageError
from asrnn_bench.cli.quantities import interval, names, numbers, seconds


def test_times_have_units() -> None:
    assert [seconds("--x", text) for text in ("90s", "10min", "1.5h", "1d")] == [90.0, 600.0, 5400.0, 86400.0]
    assert interval("--x", "5min") == (300.0, None)
    assert interval("--x", "100steps") == (None, 100)


@pytest.mark.parametrize("text", ["", "10", "0s", "-5min", "5 minutes", "1e9s", "nan", "0steps", "steps", "५min"])
def test_a_wrong_time_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--x takes a time"):
        interval("--x", text)


def test_lists_have_commas_quotes_and_ranges() -> None:
    assert names("--x", None) == []
    assert names("--x", "a, b,,c") == ["a", "b", "c"]
    assert names("--x", ['"a, b.py:Cell", c', "d"]) == ["a, b.py:Cell", "c", "d"]
    assert numbers("--x", "0,2-4, 7") == [0, 2, 3, 4, 7]
    assert numbers("--x", None) == []
