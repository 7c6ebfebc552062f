import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import done

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.reading import UnreadableError
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import READABLE_SCHEMAS, Record
from asrnn_bench.records.texts import LaterVersionError, job_text, read_job, read_record


@pytest.mark.parametrize("schema", READABLE_SCHEMAS)
def test_a_record_of_every_schema_is_still_read(schema: int) -> None:
    """It is also written again byte for byte."""
    text = (Path(__file__).parent / "schemas" / f"schema-{schema}.json").read_text()
    record = read_record(text)
    assert (record.schema_version, record.job.schema_version) == (schema, 3 if schema >= 5 else min(schema, 2))
    assert record.job.key == record.key
    assert record.status == "done"
    assert record.test_accuracy == 0.5
    assert record.cost is not None
    assert (record.cost.step_cpu_seconds is not None) == (schema >= 4)
    assert record.scores is not None
    for part in (record.scores.test_bits, record.scores.test_order, record.weights):
        assert (part is not None) == (schema >= 5)
    assert record.text() == text


def without_points(value: Any) -> Any:
    """Return a value with 2.0 as 2, as jq and JavaScript write it."""
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
    """A record of a model with hyper-parameters such as 2 and 1.0."""
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
    """The job would be written in another notation, so its record could not be read again."""
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
