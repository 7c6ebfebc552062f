import json
from typing import Any

import pytest
from bench_support import done
from pydantic import ValidationError

from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"test_bits": pack([True] * 251 + [False] * 249)}, "count 251 samples"),
        ({"test_bits": pack([True] * 250)}, "not the bits of 500 samples"),
        ({"test_bits": None}, "come together"),
        ({"test_order": "ab"}, "test_order"),
    ],
)
def test_bits_that_contradict_the_score_are_refused(jobs: list[Job], update: dict[str, Any], message: str) -> None:
    value = done(jobs[2], 0.5).model_dump()
    value["scores"] |= update
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(value)


@pytest.mark.parametrize("file", ["../attempts/001/weights.safetensors", "/etc/passwd", "attempts/001/other"])
def test_weights_lie_in_the_job_directory(jobs: list[Job], file: str) -> None:
    value = done(jobs[2], 0.5).model_dump()
    value["weights"]["file"] = file
    with pytest.raises(ValidationError, match=r"weights\.file"):
        Record.model_validate(value)


def less(record: Record, schema: int) -> Record:
    """The record as an older version would have written it."""
    value = record.model_copy(update={"schema_version": schema}).model_dump(mode="json")
    return Record.model_validate(value)


def test_a_record_holds_more_than_one_of_an_older_schema_or_with_less_in_it(jobs: list[Job]) -> None:
    whole = done(jobs[2], 0.5)
    bare = whole.model_copy(update={"weights": None})
    older = [less(whole, schema) for schema in (1, 3, 4)]
    assert older[0].scores is not None
    assert older[0].scores.test_bits is None
    ordered = [*older, bare, whole]
    for place, record in enumerate(ordered):
        assert [record.holds_more(other) for other in ordered] == [other < place for other in range(len(ordered))]
    assert [record.is_whole for record in ordered] == [False] * 4 + [True]
    other_machine = whole.model_copy(update={"environment": {}, "curve": []})
    assert not whole.holds_more(other_machine)
    assert not other_machine.holds_more(whole)


def test_what_lacks_something_never_holds_more_whatever_its_schema(jobs: list[Job]) -> None:
    whole = done(jobs[2], 0.5)
    assert whole.cost is not None
    older = less(whole, 4)
    timeless = whole.model_copy(update={"cost": whole.cost.model_copy(update={"step_seconds": None})})
    assert not timeless.holds_more(older)
    diverged = Record(key=whole.key, job=whole.job, status="diverged", reason="nan", cost=whole.cost)
    lost = without_result(whole.job, "failed", "why")
    assert not any(record.holds_more(older) for record in (diverged, lost))
    assert not whole.holds_more(diverged)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"test_accuracy": 0.5', '"test_accuracy": 7.0'),
        ('"test_accuracy": 0.5', '"test_accuracy": null'),
        ('"test_samples": 500', '"test_samples": 0'),
        ('"suite": "long-range"', '"suite": "../../escape"'),
        ('"target": "asrnn.cells', '"target": "/etc/asrnn.cells'),
        ('"status": "done"', '"status": "failed"'),
        ('"status": "done"', '"status": "well done"'),
    ],
)
def test_a_record_that_cannot_be_true_or_is_hostile_is_refused(jobs: list[Job], old: str, new: str) -> None:
    job = next(job for job in jobs if job.model.name == "lstm")
    text = done(job, 0.5).text()
    assert old in text
    value = json.loads(text.replace(old, new))
    value.pop("digest")  # which would show the change before anything else
    with pytest.raises(ValidationError):
        Record.model_validate(value)
