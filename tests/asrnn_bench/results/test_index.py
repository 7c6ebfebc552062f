"""The index of records never says anything else than the files, whatever happens to it or to them."""

import json
import os
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results import index, record_files, store
from asrnn_bench.results.index import NAME
from asrnn_bench.results.record_files import path_of, read_records
from asrnn_bench.results.store import add_records


@pytest.fixture
def folder(tmp_path: Path, jobs: list[Job]) -> Path:
    """A leaderboards folder whose index is used, as if it had been written long after the records."""
    add_records(tmp_path, [done(job, 0.5) for job in jobs[:6]])
    later(tmp_path)
    return tmp_path


def later(folder: Path) -> None:
    now = (folder / NAME).stat().st_mtime + 100
    os.utime(folder / NAME, (now, now))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the records that are read from their files."""
    found: list[str] = []

    def look(text: bytes) -> Record:
        record = original(text)
        found.append(record.key)
        return record

    original = record_files.read_record
    monkeypatch.setattr(record_files, "read_record", look)
    return found


def test_an_unchanged_file_is_not_read_again(folder: Path, read: list[str]) -> None:
    before = (folder / NAME).read_bytes()
    found, faults = add_records(folder, [])
    assert (read, faults) == ([], [])
    again, _ = read_records(folder, with_curves=False)
    assert found == again
    assert [record.job.config for record in found] == [record.job.config for record in again]
    assert (folder / NAME).read_bytes() == before


@pytest.mark.parametrize("times", ["kept", "new"])
def test_a_file_that_was_changed_in_place_is_read_again(
    folder: Path, jobs: list[Job], read: list[str], times: str
) -> None:
    """Its size stays, and its time of modification may be set back."""
    target = path_of(folder, done(jobs[0], 0.5))
    stat = target.stat()
    with target.open("r+b") as file:
        file.write(done(jobs[0], 0.6).text().encode())
    if times == "kept":
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert target.stat().st_size == stat.st_size
    found, _ = add_records(folder, [])
    assert read == [jobs[0].key]
    assert {record.key: record.test_accuracy for record in found}[jobs[0].key] == 0.6


def test_a_file_that_may_have_changed_within_a_tick_of_the_clock_is_read_again(folder: Path, read: list[str]) -> None:
    newest = max(path.stat().st_ctime_ns for path in folder.glob("records/*/*.json"))
    os.utime(folder / NAME, ns=(newest, newest))
    add_records(folder, [])
    assert len(read) == 6
    assert (folder / NAME).stat().st_mtime_ns > newest  # written again, so that it is believed from now on


def test_whole_seconds_are_taken_for_the_clock_of_the_file_system() -> None:
    second = 1_000_000_000
    assert not index._is_older((1, 5 * second, 5 * second, 1), 6 * second)
    assert index._is_older((1, 5 * second, 5 * second, 1), 8 * second)
    assert index._is_older((1, 5 * second, 5 * second + 7, 1), 6 * second)


@pytest.mark.parametrize("how", ["empty", "cut", "bit", "not json", "folder", "another version"])
def test_a_damaged_index_is_no_index(folder: Path, read: list[str], how: str) -> None:
    path = folder / NAME
    content = path.read_bytes()
    changed = {
        "empty": b"",
        "cut": content[:-10],
        "bit": content.replace(b'"test_accuracy":0.5', b'"test_accuracy":0.9', 1),
        "not json": b"\x00" * 100,
        "another version": b"0" * 64 + content[64:],
    }
    expected, _ = read_records(folder, with_curves=False)
    read.clear()
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        path.write_bytes(changed[how])
        later(folder)
    assert add_records(folder, []) == (expected, [])
    assert len(read) == 6
    if how != "folder":
        later(folder)
        read.clear()
        assert add_records(folder, []) == (expected, [])
        assert read == []


def test_a_record_that_is_gone_is_gone_though_the_index_has_it(folder: Path, jobs: list[Job]) -> None:
    path_of(folder, done(jobs[0], 0.5)).unlink()
    found, _ = add_records(folder, [])
    assert jobs[0].key not in {record.key for record in found}
    body = json.loads((folder / NAME).read_bytes().partition(b"\n")[2])
    assert len(body) == 5


def test_a_result_that_came_meanwhile_is_never_overwritten(folder: Path, jobs: list[Job]) -> None:
    """So it is on a file server where another client still sees the old folder."""
    target = path_of(folder, done(jobs[0], 0.5))
    text = target.read_bytes()
    store.write_records(folder, [without_result(jobs[0], "failed", "a crash")], standing=[])
    assert target.read_bytes() == text
