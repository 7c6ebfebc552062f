import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrnn_bench.records.bits import count_true, pack, unpack


@given(st.lists(st.booleans(), max_size=50))
def test_bits_are_those_of_numpy_and_come_back(answers: list[bool]) -> None:
    text = pack(answers)
    assert base64.b64decode(text) == np.packbits(np.array(answers, dtype=bool)).tobytes()
    assert unpack(text, len(answers)) == answers
    assert count_true(text, len(answers)) == sum(answers)


def test_ten_thousand_samples_take_little_room() -> None:
    assert len(pack([True] * 10_000)) == 1_668


@pytest.mark.parametrize(
    ("text", "count"),
    [("kA==", 9), ("kA==", 0), ("kA==", 3), ("kB==", 4), ("kA=", 4), ("k A==", 4), ("!!!!", 24), ("kAA=", 4), ("é", 4)],
)
def test_each_text_has_one_meaning_or_none(text: str, count: int) -> None:
    for read in (unpack, count_true):
        with pytest.raises(ValueError, match=r"bits"):
            read(text, count)
