import json
import math

import pytest
from bench_support import done

from asrnn_bench.files.canonical import file_text
from asrnn_bench.records.job import Job
from asrnn_bench.records.texts import read_record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(ValueError):
        file_text({"a": [value]}, with_digest=False)


def test_a_record_that_was_changed_is_not_read(jobs: list[Job]) -> None:
    text = done(jobs[4], 0.5).text()
    assert read_record(text).text() == text
    value = json.loads(text)
    for change in ({"reason": "another"}, {"more": 1}, {"attempt": 1.0}, {"digest": "0" * 64}):
        with pytest.raises(ValueError, match="altered"):
            read_record(json.dumps(value | change))
    value.pop("reason")  # which is null by default, so that the whole is worth the same
    with pytest.raises(ValueError, match="altered"):
        read_record(json.dumps(value))
