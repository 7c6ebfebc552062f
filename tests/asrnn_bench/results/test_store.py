import random
import re
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.records import SCHEMA_VERSION, Job, Record, read_record, without_result
from asrnn_bench.results.store import merge, read_records, write_records


def test_records_come_back_as_they_were(tmp_path: Path, jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    write_records(tmp_path, records)
    found, faults = read_records(tmp_path)
    assert sorted(found, key=lambda r: r.key) == sorted(records, key=lambda r: r.key)
    assert not faults


def test_a_standing_result_is_never_replaced(jobs: list[Job]) -> None:
    first, later = done(jobs[0], 0.5), done(jobs[0], 0.9)
    assert merge([first], [later]) == [first]
    assert merge([first], [without_result(jobs[0], "failed", "a crash")]) == [first]


def test_a_result_takes_the_place_of_a_failure_and_of_missing_data(jobs: list[Job]) -> None:
    for status in ("failed", "no-data"):
        assert merge([without_result(jobs[0], status, "why")], [done(jobs[0], 0.5)]) == [done(jobs[0], 0.5)]


def test_that_a_job_diverged_is_a_result_and_stands(jobs: list[Job]) -> None:
    diverged = Record(key=jobs[0].key, job=jobs[0], status="diverged", reason="the loss became nan")
    assert merge([diverged], [without_result(jobs[0], "no-data", "why")]) == [diverged]
    assert merge([diverged], [without_result(jobs[0], "failed", "why")]) == [diverged]


def test_a_failure_of_edited_code_goes_and_a_result_of_it_stays(jobs: list[Job]) -> None:
    job = jobs[2]
    edited = job.model_copy(update={"model": job.model.model_copy(update={"code": {"sha256": "ab"}})})
    assert merge([without_result(job, "failed", "why")], [done(edited, 0.5)]) == [done(edited, 0.5)]
    assert len(merge([done(job, 0.4)], [done(edited, 0.5)])) == 2
    assert len(merge([done(job, 0.4)], [without_result(edited, "failed", "why")])) == 2


def test_the_failure_of_another_configuration_stays(jobs: list[Job]) -> None:
    other = jobs[2].model_copy(update={"threads": 2})
    assert len(merge([without_result(other, "failed", "why")], [done(jobs[2], 0.5)])) == 2


def test_a_record_that_came_meanwhile_is_not_removed(tmp_path: Path, jobs: list[Job]) -> None:
    meanwhile = without_result(jobs[5], "failed", "why")
    write_records(tmp_path, [meanwhile])
    write_records(tmp_path, [done(jobs[0], 0.5)], superseded=[])
    assert {record.key for record in read_records(tmp_path)[0]} == {jobs[0].key, jobs[5].key}


def test_nobody_elses_row_is_dropped(tmp_path: Path, jobs: list[Job]) -> None:
    write_records(tmp_path, [done(jobs[0], 0.5)])
    standing, _ = read_records(tmp_path)
    write_records(tmp_path, merge(standing, [done(jobs[1], 0.6)]))
    assert len(read_records(tmp_path)[0]) == 2


def test_the_order_of_records_does_not_matter(jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    shuffled = random.Random(0).sample(records, len(records))
    assert merge([], shuffled) == merge(records[:10], records[5:]) == merge([], records)


def test_what_is_not_a_record_is_left_out_left_alone_and_named(tmp_path: Path, jobs: list[Job]) -> None:
    write_records(tmp_path, [done(job, 0.5) for job in jobs[:5]])
    files = sorted(tmp_path.rglob("*.json"))
    truncated, altered, newer, copied, good = files
    truncated.write_bytes(truncated.read_bytes()[:100])
    altered.write_text(re.sub(r'"threads": 1', '"threads": 3', altered.read_text()))
    newer.write_text(newer.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'))
    copied.write_text(good.read_text().replace('"test_accuracy": 0.5', '"test_accuracy": 0.9'))
    before = {path: path.read_bytes() for path in files}
    found, faults = read_records(tmp_path)
    assert [record.test_accuracy for record in found] == [0.5]
    for fault, path, why in zip(
        faults, files, ["damaged", "altered", "schema 99", "name is not that of its record"], strict=False
    ):
        assert str(path) in fault
        assert why in fault
    assert len(faults) == 4
    write_records(tmp_path, found, superseded=found)
    assert {path: path.read_bytes() for path in files} == before


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
    with pytest.raises(ValueError):
        read_record(text.replace(old, new))


@pytest.mark.parametrize("schema", [1, 2])
def test_a_record_of_an_older_schema_is_still_read(schema: int) -> None:
    """And written again as it was, byte for byte: its key is the digest of what it has."""
    text = (Path(__file__).parent / "records" / f"schema-{schema}.json").read_text()
    record = read_record(text)
    assert record.schema_version == record.job.schema_version == schema
    assert record.job.key == record.key
    assert record.status == "done"
    assert record.test_accuracy == 0.5
    assert record.text() == text
