import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from bench_support import done
from failing_disk import FailingDisk

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results import store
from asrnn_bench.results.merging import merge
from asrnn_bench.results.record_files import read_records
from asrnn_bench.results.store import StoredRecord, add_records, write_records


def test_a_record_that_came_meanwhile_is_not_removed(tmp_path: Path, jobs: list[Job]) -> None:
    meanwhile = without_result(jobs[5], "failed", "why")
    write_records(tmp_path, [meanwhile])
    write_records(tmp_path, [done(jobs[0], 0.5)], standing=[])
    assert {record.key for record in read_records(tmp_path)[0]} == {jobs[0].key, jobs[5].key}


def test_unchanged_records_are_not_written_again(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_records(tmp_path, [done(job, 0.5) for job in jobs[:5]])
    written: list[Record] = []
    monkeypatch.setattr(store, "_write", lambda path, record, copied: written.append(record))
    standing, _ = read_records(tmp_path)
    write_records(tmp_path, merge(standing, [done(jobs[0], 0.5), done(jobs[7], 0.5)]), standing)
    assert [record.key for record in written] == [jobs[7].key]


def test_adding_a_few_records_at_a_time_gives_the_same_files(
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


def test_a_publication_drops_no_other_records(tmp_path: Path, jobs: list[Job]) -> None:
    write_records(tmp_path, [done(jobs[0], 0.5)])
    standing, _ = read_records(tmp_path)
    write_records(tmp_path, merge(standing, [done(jobs[1], 0.6)]))
    assert len(read_records(tmp_path)[0]) == 2


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


def test_a_new_record_is_written_whole_before_the_old_one_is_gone(
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
