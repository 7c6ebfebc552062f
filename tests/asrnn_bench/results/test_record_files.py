import errno
import os
import re
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.files import disk_errors
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import SCHEMA_VERSION
from asrnn_bench.results import record_files
from asrnn_bench.results.record_files import read_records
from asrnn_bench.results.store import write_records


def test_records_come_back_as_they_were(tmp_path: Path, jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    write_records(tmp_path, records)
    found, faults = read_records(tmp_path)
    assert sorted(found, key=lambda r: r.key) == sorted(records, key=lambda r: r.key)
    assert not faults


def test_a_file_that_is_not_a_record_is_left_out_unchanged_and_named(tmp_path: Path, jobs: list[Job]) -> None:
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
        faults, files, ["damaged", "altered", "schema 99", "name does not fit its record"], strict=False
    ):
        assert str(path) in fault
        assert why in fault
    assert len(faults) == 4
    write_records(tmp_path, found, standing=found)
    assert {path: path.read_bytes() for path in files} == before


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
    read = record_files.read_file

    def fail(path: Path) -> bytes:
        reads.append(path)
        if len(reads) <= failures:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(path)

    monkeypatch.setattr(record_files, "read_file", fail)
    found, faults = read_records(tmp_path)
    if failures == 1:
        assert (len(found), faults) == (5, [])
    else:
        assert (found, len(faults)) == ([], 5)
        assert [reads.count(path) for path in dict.fromkeys(reads)][1:] == [1] * 4
