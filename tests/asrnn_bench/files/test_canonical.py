import json
import math
import random
from typing import Any

import pytest
from bench_support import done

from asrnn_bench.files.canonical import indented
from asrnn_bench.records.job import Job
from asrnn_bench.records.texts import read_record

LEAVES = [
    0,
    1,
    -7,
    10**30,
    0.1,
    -0.0,
    1e-300,
    1e22,
    True,
    False,
    None,
    "",
    'a "b"\\\n',
    "\x00\u2028\ud83d\ude00é",
    {},
    [],
]

NAMES = ["a", "b", '"', "é", "\n"]


def some(source: random.Random, depth: int = 0) -> Any:
    kind = source.random() if depth < 4 else 1.0
    if kind < 0.3:
        return {source.choice(NAMES) + str(source.randrange(9)): some(source, depth + 1) for _ in range(3)}
    return [some(source, depth + 1) for _ in range(3)] if kind < 0.5 else source.choice(LEAVES)


def test_indented_json_is_that_of_the_standard_library() -> None:
    source = random.Random(0)
    for _ in range(2000):
        value = some(source)
        assert indented(value) == json.dumps(value, sort_keys=True, indent=1, allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError):
        indented({"a": [value]})


def test_a_record_is_read_the_quick_way_only_where_it_is_as_written(jobs: list[Job]) -> None:
    text = done(jobs[4], 0.5).text()
    assert read_record(text).text() == text
    value = json.loads(text)
    for change in ({"reason": "another"}, {"more": 1}, {"attempt": 1.0}, {"digest": "0" * 64}):
        with pytest.raises(ValueError, match="altered"):
            read_record(json.dumps(value | change))
    value.pop("reason")  # which is null by default, so that the whole is worth the same
    with pytest.raises(ValueError, match="altered"):
        read_record(json.dumps(value))
