import json
from typing import Any

import pytest
from bench_support import done
from pydantic import ValidationError

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.reading import UnreadableError
from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.records.texts import read_record


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
    """Return the record as an older version would have written it."""
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


def test_a_record_that_lacks_something_never_holds_more_whatever_its_schema(jobs: list[Job]) -> None:
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
    ("place", "value"),
    [
        ("cost.step_seconds", 1e306),
        ("cost.train_seconds", -1.0),
        ("scores.test_samples", 2**64),
        ("scores.test_samples", 0),
        ("scores.test_accuracy", 1.5),
        ("scores.test_accuracy", None),
        ("job.model.hidden_size", 2**64),
        ("job.model.target", "/etc/asrnn.cells:LSTM"),
        ("job.seed", "0"),
        ("job.schema_version", 4),
        ("job.suite", "../x"),
        ("curve", [{"step": 1}]),
        ("status", "failed"),
        ("status", "well done"),
    ],
)
def test_a_value_that_no_record_can_have_is_refused_even_with_a_right_digest(
    jobs: list[Job], place: str, value: object
) -> None:
    whole = done(jobs[4], 0.5).model_dump(mode="json")
    *parents, last = place.split(".")
    owner = whole
    for name in parents:
        owner = owner[name]
    owner[last] = value
    whole["key"] = digest({k: v for k, v in whole["job"].items() if k != "settings"})
    with pytest.raises(UnreadableError, match=r"^it is damaged: [^\n]+$"):
        read_record(json.dumps({**whole, "digest": digest(whole)}))
