"""A publication waits for another process, and accepts records that another program rewrote."""

from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.files.locking import hold
from asrnn_bench.records.job import Job
from asrnn_bench.results import publishing
from asrnn_bench.results.comparison import difference
from asrnn_bench.results.publishing import BusyError, bring_up_to_date, update_command
from asrnn_bench.results.record_files import path_of
from asrnn_bench.results.store import StoredRecord


def test_a_folder_that_stays_held_is_said_with_the_command_for_later(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "TIMEOUT_SECONDS", 0.2)
    boards = tmp_path / "the boards"
    boards.mkdir()
    again = update_command(Path("my runs"), boards)
    assert again == f"asrnn-bench leaderboard 'my runs' --leaderboards '{boards}'"
    with hold(boards, 0), pytest.raises(BusyError, match="another process has held") as raised:
        bring_up_to_date(boards, [done(jobs[0], 0.5)], again=again)
    assert str(raised.value).endswith(again)
    assert bring_up_to_date(boards, [done(jobs[0], 0.5)]).faults == []


def test_a_results_own_bytes_become_its_record(tmp_path: Path, jobs: list[Job]) -> None:
    record = done(jobs[4], 0.5)
    result = tmp_path / "result.json"
    result.write_bytes(record.text().replace("\n", "\r\n").encode())
    boards = tmp_path / "boards"
    boards.mkdir()
    bring_up_to_date(boards, lambda standing: [StoredRecord(record, result)])
    assert path_of(boards, record).read_bytes() == result.read_bytes()
    result.write_text("{}")
    assert bring_up_to_date(boards, []).records[0].test_accuracy == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text, None),
        (lambda text: text.replace(b"\n", b"\r\n"), "says what the records give, but has CRLF"),
        (lambda text: b"\xef\xbb\xbf" + text, "says what the records give, but has a byte order mark"),
        (lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), "a byte order mark and CRLF"),
        (lambda text: text.replace(b"two", b"2"), "is not what the records give, from line 2, 'two' on"),
        (lambda text: text + b"more", "is not what the records give, from line 4"),
        (lambda text: b"\xff", "is not what the records give: it is not UTF-8 text"),
    ],
)
def test_how_a_file_differs_is_said(tmp_path: Path, change, said: str | None) -> None:  # type: ignore[no-untyped-def]
    file, text = tmp_path / "x.csv", "one\ntwo\nthree\n"
    assert difference(file, text) == "is missing"
    file.write_bytes(change(text.encode()))
    found = difference(file, text)
    assert found is None if said is None else said in str(found).replace("'2'", "'two'")
