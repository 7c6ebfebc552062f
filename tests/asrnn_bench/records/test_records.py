import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import done
from pydantic import ValidationError

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.reading import UnreadableError
from asrnn_bench.records import job as records
from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.records.texts import LaterVersionError, job_text, read_job, read_record


def test_the_digests_of_a_job_are_computed_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs[0].model_copy()
    calls: list[object] = []
    original = records.digest
    monkeypatch.setattr(records, "digest", lambda value: calls.append(value) or original(value))
    assert len({job.key for _ in range(5)}) == len({job.config for _ in range(5)}) == 1
    assert len(calls) == 2


def test_a_changed_copy_of_a_job_has_digests_of_its_own(jobs: list[Job]) -> None:
    job = jobs[0]
    before = job.key, job.config
    for deep in (False, True):
        other = job.model_copy(update={"threads": job.threads + 1}, deep=deep)
        assert other.key == Job.model_validate(other.model_dump()).key != job.key
        assert other.config == Job.model_validate(other.model_dump()).config != job.config
    assert (job.key, job.config) == before


def test_a_job_whose_digests_are_known_equals_one_whose_digests_are_not(jobs: list[Job]) -> None:
    job = jobs[0]
    assert job.key
    fresh = Job.model_validate(job.model_dump())
    assert job == fresh
    for same in (copy.copy(job), copy.deepcopy(job)):
        assert same == fresh
        assert same.key == fresh.key


@pytest.mark.parametrize(
    ("part", "update", "message"),
    [
        ("training", {"schedule": "steps"}, "needs schedule_steps and schedule_factor"),
        ("training", {"schedule": "cosine", "schedule_steps": [3]}, "belong to schedule 'steps'"),
        ("training", {"schedule": "steps", "schedule_steps": [4, 4], "schedule_factor": 0.5}, "must grow"),
        ("training", {"rung": 250}, "a rung lies below the 250 steps"),
        ("training", {"rung": 100}, "is a trial, which is not tested"),
    ],
)
def test_a_training_that_contradicts_itself_is_refused(
    jobs: list[Job], part: str, update: dict[str, Any], message: str
) -> None:
    value = jobs[2].model_dump()
    value[part] |= update | ({"max_steps": 250} if "rung" in update else {})
    with pytest.raises(ValidationError, match=message):
        Job.model_validate(value)


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


def test_a_rung_has_a_key_of_its_own_and_its_checkpoints_the_one_of_the_whole(jobs: list[Job]) -> None:
    whole = jobs[2].model_copy(update={"tested": False})
    assert whole.whole_key == whole.key
    trial = whole.model_copy(update={"training": whole.training.model_copy(update={"rung": 10})})
    assert trial.key != whole.key == trial.whole_key
    assert (trial.training.steps, whole.training.steps) == (10, whole.training.max_steps)


def without_points(value: Any) -> Any:
    """What jq and JavaScript make of numbers: 2.0 becomes 2."""
    if isinstance(value, dict):
        return {name: without_points(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_points(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


LAYOUTS: dict[str, Callable[[str], bytes]] = {
    "carriage returns": lambda text: text.replace("\n", "\r\n").encode(),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "two spaces": lambda text: json.dumps(json.loads(text), indent=2).encode(),
    "one line": lambda text: json.dumps(json.loads(text), separators=(",", ":")).encode(),
    "no points": lambda text: json.dumps(without_points(json.loads(text)), indent=2).encode(),
    "other order": lambda text: json.dumps(dict(reversed(json.loads(text).items()))).encode(),
}


@pytest.fixture
def record(jobs: list[Job]) -> Record:
    """A record of a model whose hyper-parameters are whole numbers, some of them with a point."""
    job = next(job for job in jobs if job.model.name == "lstm")
    hyper = {"layers": 2, "gamma": 1.0, "sigma_w": 4.0, "epsilon": 0.01, "norm": "rms", "bias": True}
    training = job.training.model_copy(update={"learning_rate": 1.0})
    return done(
        job.model_copy(update={"model": job.model.model_copy(update={"hyper": hyper}), "training": training}), 0.5
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_record_in_another_layout_is_the_same_record(record: Record, layout: str) -> None:
    text = LAYOUTS[layout](record.text())
    assert text != record.text().encode()
    assert read_record(text).text() == record.text()
    assert read_job(LAYOUTS[layout](job_text(record.job))).key == record.job.key


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_is_noticed_in_every_layout(record: Record, layout: str) -> None:
    for old, new in (('"test_accuracy": 0.5', '"test_accuracy": 0.75'), ('"gamma": 1.0', '"gamma": 3.0')):
        assert old in record.text()
        with pytest.raises(UnreadableError, match="altered"):
            read_record(LAYOUTS[layout](record.text().replace(old, new)))


def test_a_number_of_another_kind_is_a_change(record: Record) -> None:
    for old, new in (
        ('"layers": 2', '"layers": 2.0'),
        ('"attempt": 1', '"attempt": 1.0'),
        ('"bias": true', '"bias": 1'),
    ):
        assert old in record.text()
        with pytest.raises(UnreadableError):
            read_record(record.text().replace(old, new))


def test_a_key_of_another_notation_of_the_job_is_refused(record: Record) -> None:
    """Once read, the record would be written with the job's own notation, and could not be read again."""
    value = json.loads(record.text())
    value["job"]["training"]["learning_rate"] = 1
    value["key"] = digest({name: part for name, part in value["job"].items() if name != "settings"})
    value["digest"] = digest({name: part for name, part in value.items() if name != "digest"})
    with pytest.raises(UnreadableError, match="its key does not belong to its job"):
        read_record(json.dumps(value))


def test_a_record_of_a_later_version_is_neither_damaged_nor_altered(record: Record) -> None:
    with pytest.raises(LaterVersionError):
        read_record(record.text().replace(f'"schema_version": {record.schema_version}', '"schema_version": 99'))


def test_the_committed_records_stay_readable_when_a_program_rewrites_their_numbers() -> None:
    files = sorted((Path(__file__).parents[3] / "leaderboards" / "records").glob("*/*.json"))
    assert files
    for file in files:
        text = file.read_text()
        assert read_record(LAYOUTS["no points"](text)).text() == text
