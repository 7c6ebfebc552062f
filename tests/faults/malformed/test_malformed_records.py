"""A damaged, altered or hostile record is refused in one line, is never read as another result, and harms no other."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from altered import altered, nested
from bench_support import done
from hypothesis import HealthCheck, given, settings
from malformed import NOT_FILES, malform_path, malformed, normalised, tell

from asrnn_bench.files.canonical import digest
from asrnn_bench.files.reading import UnreadableError
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import SCHEMA_VERSION, Record, without_result
from asrnn_bench.records.texts import read_record
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import csv_text
from asrnn_bench.results.markdown import board_markdown
from asrnn_bench.results.merging import merge
from asrnn_bench.results.publishing import write_leaderboards
from asrnn_bench.results.record_files import path_of, read_records
from asrnn_bench.results.store import write_records

REASONS_OF_BYTES = 17
REASONS_OF_STRUCTURE = 100
"""The least number of different refusals, so that the malformations reach every check."""

JOBS = [job for job in make_plan(load_suite("long-range"), Request(seeds=[0])).jobs if job.model.name == "lstm"][:3]
RECORDS = [done(job, 0.5) for job in JOBS]
TEXT = RECORDS[0].text()
SCHEMA = f'"schema_version": {SCHEMA_VERSION}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A leaderboards folder of three records."""
    write_records(tmp_path, RECORDS)
    return tmp_path


def one_line(reason: str) -> str:
    assert reason
    assert "\n" not in reason
    assert reason.isprintable(), reason
    assert len(reason) < 2000
    return normalised(reason)


@pytest.mark.parametrize("count", [60, pytest.param(700, marks=pytest.mark.faults)])
def test_no_change_of_a_records_bytes_goes_unnoticed_or_harms_another(folder: Path, count: int) -> None:
    target = path_of(folder, RECORDS[0])
    others = {path: path.read_bytes() for path in folder.rglob("*.json") if path != target}
    reasons: set[str] = set()
    same = 0
    for content in malformed(TEXT.encode(), count, seed=count):
        target.write_bytes(content)
        found, faults = read_records(folder)
        by_key = {record.key: record for record in found}
        assert by_key.pop(RECORDS[0].key, RECORDS[0]) == RECORDS[0]
        assert sorted(by_key) == sorted(record.key for record in RECORDS[1:])
        assert len(found) + len(faults) == 3
        reasons |= {one_line(fault) for fault in faults}
        same += not faults
        assert {path: path.read_bytes() for path in others} == others
    assert same < count / 10  # white space alone was changed
    tell(f"{count} malformed records, {same} read as the same, {len(reasons)} reasons")
    assert len(reasons) >= (REASONS_OF_BYTES if count > 100 else 8), sorted(reasons)


@pytest.mark.parametrize("knows_the_digest", [False, True])
@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
def test_a_record_of_another_shape_is_refused_or_can_be_tabled(count: int, knows_the_digest: bool) -> None:
    """A record with a right key and a right digest of wrong content cannot crash the readers either."""
    reasons: set[str] = set()
    accepted: list[Record] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(altered(json.loads(TEXT)))
    def check(value: dict) -> None:  # type: ignore[type-arg]
        if knows_the_digest:
            with suppress(Exception):
                value["key"] = digest({k: v for k, v in value["job"].items() if k != "settings"})
                value["digest"] = digest({k: v for k, v in value.items() if k != "digest"})
        try:
            record = read_record(json.dumps(value))
        except UnreadableError as error:
            reasons.add(one_line(str(error)))
            return
        if knows_the_digest:
            accepted.append(record)
        else:
            assert record == RECORDS[0]
        assert read_record(record.text()) == record
        text, table = csv_text([*RECORDS[1:], record]), board_markdown(boards([record])[0])
        assert "inf" not in text.split("\n")[1].split(",")
        text.encode()
        table.encode()

    check()
    tell(f"{count} altered records, {len(accepted)} are others, {len(reasons)} reasons")
    if knows_the_digest:
        assert len(reasons) >= (REASONS_OF_STRUCTURE if count > 100 else 8), sorted(reasons)


def test_a_flipped_bit_anywhere_in_a_record_is_noticed() -> None:
    content = TEXT.encode()
    changed = 0
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        try:
            assert read_record(bytes(flipped)) == RECORDS[0]
        except UnreadableError:
            changed += 1
    assert changed > len(content) / 3 * 0.9


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"test_accuracy": 0.5', '"test_accuracy": 0.9'),
        (f'"settings": "{JOBS[0].settings}"', '"settings": "tuned"'),
        (SCHEMA, '"schema_version": 2'),
        (SCHEMA, '"schema_version": 3'),
        (SCHEMA, '"schema_version": 4'),
        ('"best_step": 200', '"best_step": 200, "best_step": 300'),
        ('"loop"', '"triton"'),
        ('"parameters_total": 200', '"parameters_total": 200.0'),
    ],
)
def test_the_digest_covers_what_the_key_does_not(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(UnreadableError):
        read_record(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{}", "it is not a record"),
        (b"[]", "it is not a JSON object"),
        (b"\xef\xbb\xbf{}", "it is not a record"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "it is not JSON"),
        (TEXT.encode("utf-16"), "it is not UTF-8 text"),
        (b'{"a": NaN}', "it holds NaN"),
        (b'{"a": 1e999}', "beyond all bounds"),
        (b'{"a": ' + b"1" * 5000 + b"}", "too many digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 1}', "the key 'a' twice"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (json.dumps({"a": nested(600)}).encode(), "it is not a record"),
        (TEXT.replace(SCHEMA, '"schema_version": 99').encode(), "it is of schema 99"),
        (TEXT.replace(SCHEMA, '"schema_version": true').encode(), "it is of schema True"),
    ],
)
def test_the_message_says_what_is_wrong(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        read_record(content)
    one_line(str(raised.value))
    assert reason in str(raised.value)


@pytest.mark.parametrize("how", NOT_FILES)
def test_a_folder_pipe_or_device_in_place_of_a_record_is_left_out(folder: Path, how: str) -> None:
    target = path_of(folder, RECORDS[0])
    malform_path(target, how)
    found, faults = read_records(folder)
    assert sorted(record.key for record in found) == sorted(record.key for record in RECORDS[1:])
    (fault,) = faults
    assert "cannot be read" in one_line(fault)


def contents(folder: Path) -> Iterator[bytes]:
    """Yield the content of every file below a folder."""
    yield from (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_damaged_record_is_kept_when_its_job_is_run_again(folder: Path) -> None:
    """It may hold a result that somebody can still read, and the new run may have none."""
    target = path_of(folder, RECORDS[0])
    rng = random.Random(0)
    for content in islice(malformed(TEXT.encode(), 100, seed=1), 12):
        target.write_bytes(content)
        standing, faults = read_records(folder)
        new = [without_result(JOBS[0], "failed", "a crash") if rng.random() < 0.5 else RECORDS[0]]
        everything = merge(standing, new)
        write_records(folder, everything, standing=standing)
        write_leaderboards(folder, everything)
        assert not faults or content in set(contents(folder))
        found, faults = read_records(folder)
        assert (len(found), faults) == (3, [])
        write_records(folder, RECORDS)


@pytest.mark.parametrize("how", NOT_FILES)
def test_a_folder_pipe_or_device_in_place_of_a_record_is_put_aside(folder: Path, how: str) -> None:
    target = path_of(folder, RECORDS[0])
    malform_path(target, how)
    write_records(folder, RECORDS)
    assert read_records(folder)[1] == []
    assert target.with_name(target.name + ".damaged") in set(target.parent.iterdir())


def test_a_record_of_a_later_version_is_not_lost_to_an_earlier_one(folder: Path) -> None:
    target = path_of(folder, RECORDS[0])
    later = TEXT.replace(SCHEMA, f'"schema_version": {SCHEMA_VERSION + 1}')
    target.write_text(later)
    standing, _ = read_records(folder)
    for _ in range(2):
        write_records(folder, merge(standing, [without_result(JOBS[0], "failed", "a crash")]), standing=standing)
        assert later.encode() in set(contents(folder))


def test_a_record_under_another_ones_name_is_kept_too(folder: Path) -> None:
    target = path_of(folder, RECORDS[0])
    other = done(JOBS[0].model_copy(update={"seed": 77}), 0.75)
    target.write_text(other.text())
    write_records(folder, RECORDS)
    assert other.text().encode() in set(contents(folder))
