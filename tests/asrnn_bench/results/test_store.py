import errno
import os
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from bench_support import done
from failing_disk import FailingDisk

from asrnn_bench.files import disk_errors
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import READABLE_SCHEMAS, SCHEMA_VERSION, Record, without_result
from asrnn_bench.records.texts import read_record
from asrnn_bench.results import store
from asrnn_bench.results.store import StoredRecord, add_records, merge, read_records, write_records


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
    write_records(tmp_path, [done(jobs[0], 0.5)], standing=[])
    assert {record.key for record in read_records(tmp_path)[0]} == {jobs[0].key, jobs[5].key}


def test_what_was_read_and_stands_is_neither_read_nor_written_again(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_records(tmp_path, [done(job, 0.5) for job in jobs[:5]])
    written: list[Record] = []
    monkeypatch.setattr(store, "_write", lambda path, record, copied: written.append(record))
    standing, _ = read_records(tmp_path)
    write_records(tmp_path, merge(standing, [done(jobs[0], 0.5), done(jobs[7], 0.5)]), standing)
    assert [record.key for record in written] == [jobs[7].key]


def test_records_come_in_a_few_at_a_time_to_the_same_end(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = jobs[3].model_copy(update={"model": jobs[3].model.model_copy(update={"code": {"sha256": "ab"}})})
    new = [without_result(jobs[3], "failed", "why"), *(done(job, 0.5) for job in jobs[4:12]), done(edited, 0.5)]
    write_records(tmp_path / "whole", merge([], new))
    monkeypatch.setattr(store, "AT_A_TIME", 2)
    found, faults = add_records(tmp_path / "few", iter(new))
    assert faults == []
    assert [record.key for record in found] == [record.key for record in merge([], new)]
    assert not any(record.curve for record in found)
    assert written_files(tmp_path / "few") == written_files(tmp_path / "whole")
    assert add_records(tmp_path / "few", new[1:]) == (found, [])
    assert written_files(tmp_path / "few") == written_files(tmp_path / "whole")


def written_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_a_source_is_told_which_records_stand(tmp_path: Path, jobs: list[Job]) -> None:
    write_records(tmp_path, [done(jobs[0], 0.5), without_result(jobs[1], "failed", "why")])
    told: list[Mapping[str, Record]] = []

    def source(standing: Mapping[str, Record]) -> list[StoredRecord]:
        told.append(standing)
        return [StoredRecord(done(jobs[1], 0.5))]

    found, _ = add_records(tmp_path, source)
    assert [{key: record.status for key, record in each.items()} for each in told] == [
        {jobs[0].key[:12]: "done", jobs[1].key[:12]: "failed"}
    ]
    assert {record.status for record in found} == {"done"}


def test_a_merge_looks_at_each_record_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Record] = []
    every_part = store._all_but_code
    monkeypatch.setattr(store, "_all_but_code", lambda record: looks.append(record) or every_part(record))
    lost = [without_result(job, "failed", "why") for job in jobs]
    found = merge(lost, [done(job, 0.5) for job in jobs])
    assert {record.status for record in found} == {"done"}
    assert len(looks) <= 2 * len(jobs)


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
    copied.write_text(good.read_text())
    before = {path: path.read_bytes() for path in files}
    found, faults = read_records(tmp_path)
    assert [record.test_accuracy for record in found] == [0.5]
    for fault, path, why in zip(
        faults, files, ["damaged", "altered", "schema 99", "name is not that of its record"], strict=False
    ):
        assert str(path) in fault
        assert why in fault
    assert len(faults) == 4
    write_records(tmp_path, found, standing=found)
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


@pytest.mark.parametrize("schema", READABLE_SCHEMAS)
def test_a_record_of_every_schema_is_still_read(schema: int) -> None:
    """And written again as it was, byte for byte: its key is the digest of what it has."""
    text = (Path(__file__).parent / "records" / f"schema-{schema}.json").read_text()
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


def as_of_schema_4(record: Record) -> Record:
    return Record.model_validate(record.model_copy(update={"schema_version": 4}).model_dump(mode="json"))


def test_a_record_that_holds_more_replaces_one_that_holds_less(tmp_path: Path, jobs: list[Job]) -> None:
    newer = [done(job, 0.5) for job in jobs[:4]]
    older = [as_of_schema_4(record) for record in newer]
    add_records(tmp_path, [older[0], newer[1], older[2]])
    found, faults = add_records(tmp_path, [newer[0], older[1], older[2], older[3]])
    assert faults == []
    assert [record.schema_version for record in sorted(found, key=lambda r: r.job.model.name)] == [
        {jobs[0].key: 5, jobs[1].key: 5, jobs[2].key: 4, jobs[3].key: 4}[record.key]
        for record in sorted(found, key=lambda r: r.job.model.name)
    ]
    texts = {path.read_text() for path in tmp_path.rglob("*.json")}
    assert texts == {newer[0].text(), newer[1].text(), older[2].text(), older[3].text()}
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.json")}
    add_records(tmp_path, [*newer[:2], *older])
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.json")} == before
    assert not list(tmp_path.rglob("*.damaged*"))


def test_what_replaces_a_record_is_written_whole_before_that_is_gone(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = done(jobs[0], 0.5)
    older = as_of_schema_4(newer)
    add_records(tmp_path, [older])
    (path,) = tmp_path.rglob("*.json")
    synced: list[str] = []
    fsync = os.fsync

    def stop(descriptor: int) -> None:
        synced.append(path.read_text())
        fsync(descriptor)
        raise OSError(errno.EIO, "the power went")

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(OSError, match="the power went"):
        add_records(tmp_path, [newer])
    assert synced == [older.text()] == [path.read_text()]
    monkeypatch.undo()
    add_records(tmp_path, [newer])
    assert path.read_text() == newer.text()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES], ids=os.strerror)
@pytest.mark.parametrize("whole", [True, False], ids=["all", "one budget"])
def test_records_that_cannot_be_listed_end_the_publication(
    number: int, whole: bool, tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = ["quick", "short"]
    write_records(tmp_path, [done(jobs[0].model_copy(update={"budget": each}), 0.5) for each in budgets])
    (folder,) = (tmp_path / "records").glob("*.short")
    disk = FailingDisk(monkeypatch, folder.parent if whole else folder, number, ("scandir", "listdir"))
    disk.failing = True
    with pytest.raises(OSError, match=os.strerror(number)):
        add_records(tmp_path, [])
    disk.failing = False
    assert len(add_records(tmp_path, [])[0]) == 2


def test_a_folder_without_records_is_empty(tmp_path: Path) -> None:
    assert read_records(tmp_path) == ([], [])
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a file").touch()
    assert read_records(tmp_path) == ([], [])


@pytest.mark.parametrize("failures", [1, 1000])
def test_a_record_that_cannot_be_read_just_now_is_read_later_and_waited_for_once(
    failures: int, tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_records(tmp_path, [done(job, 0.5) for job in jobs[:5]])
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.2)
    reads: list[Path] = []
    read = store.read_file

    def fail(path: Path) -> bytes:
        reads.append(path)
        if len(reads) <= failures:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(path)

    monkeypatch.setattr(store, "read_file", fail)
    found, faults = read_records(tmp_path)
    if failures == 1:
        assert (len(found), faults) == (5, [])
    else:
        assert (found, len(faults)) == ([], 5)
        assert [reads.count(path) for path in dict.fromkeys(reads)][1:] == [1] * 4


def test_a_result_that_cannot_be_read_just_now_is_not_put_aside(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = done(jobs[0], 0.5)
    write_records(tmp_path, [record])
    before = written_files(tmp_path)

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(store, "read_file", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_records(tmp_path, [record])
    assert written_files(tmp_path) == before
    assert not list(tmp_path.rglob("*.damaged*"))
