"""``asrnn-bench leaderboard`` shows the newest version, names the others, and checks what differs."""

import csv
import errno
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from bench_support import done, one_line

from asrnn_bench.cli import invoke
from asrnn_bench.records.job import Job
from asrnn_bench.results import publishing
from asrnn_bench.results.leaderboard import COLUMN_NAMES, csv_of, frame
from asrnn_bench.results.publishing import bring_up_to_date

COMMITTED = Path(__file__).parents[3] / "leaderboards"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the committed leaderboards."""
    return shutil.copytree(COMMITTED, tmp_path / "boards", ignore=shutil.ignore_patterns(".index", ".lock"))


def test_the_newest_version_is_shown_and_the_others_are_named(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["leaderboard", str(copy)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("long-range (version 3), budget quick\nOrder: ")
    assert "(version 1)" not in said
    assert "(version 2)" not in said
    assert " / " not in said
    assert "…" not in said
    assert (
        f"long-range has records of versions 1, 2 too; to see one: asrnn-bench leaderboard {copy} --suite-version 2"
        in said
    )
    table = [line.split()[0] for line in said.splitlines() if "±" in line]
    assert table.index("exprnn") < table.index("chance")
    assert invoke(["leaderboard", str(copy), "--suite-version", "1"]) == 0
    said = capsys.readouterr().out
    assert "(version 1)" in said
    assert "exprnn" not in said
    assert "long-range.quick.v1.csv" in said
    assert invoke(["leaderboard", str(copy), "--suite-version", "7"]) == 2
    assert "there are no records of --suite-version 7; there are: 1, 2, 3" in capsys.readouterr().err


def test_no_table_and_no_file_has_two_scores_of_a_model_and_task(copy: Path) -> None:
    assert invoke(["leaderboard", str(copy)]) == 0
    for name, models in (
        ("long-range.quick.csv", 10),
        ("long-range.quick.v2.csv", 12),
        ("long-range.quick.v1.csv", 8),
    ):
        table = pd.read_csv(copy / name)
        assert table["suite_version"].nunique() == 1
        assert table.pivot(index="entry", columns="task", values="mean").shape == (models, 5)
        assert (table["entry"] == table["model"]).all()


def test_a_check_says_how_a_file_differs(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["leaderboard", str(copy), "--check"]) == 0
    capsys.readouterr()
    board = copy / "long-range.quick.csv"
    text = board.read_bytes()
    board.write_bytes(text.replace(b"\n", b"\r\n"))
    for record in sorted(copy.glob("records/*/*.json"))[:5]:
        record.write_bytes(b"\xef\xbb\xbf" + record.read_bytes().replace(b"\n", b"\r\n"))
    assert invoke(["leaderboard", str(copy), "--check", "--strict"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{board} says what the records give, but has CRLF at the ends of lines")
    assert line.endswith(f"run: asrnn-bench leaderboard {copy} --leaderboards {copy}")
    assert invoke(["leaderboard", str(copy)]) == 0
    assert board.read_bytes() == text


def test_the_csv_is_what_pandas_writes_of_the_frame(jobs: list[Job], tmp_path: Path) -> None:
    board = bring_up_to_date(tmp_path, [done(job, place / 997) for place, job in enumerate(jobs)]).boards[0]
    columns = frame(board.records)
    assert list(columns.columns) == list(COLUMN_NAMES)
    for name in ("rank", "n_test", "hidden_size", "parameters_recurrent", "parameters_total"):
        columns[name] = columns[name].astype("Int64")
    assert csv_of(board.rows) == columns.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    with (tmp_path / "long-range.quick.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(board.rows)


def test_an_error_that_passes_is_waited_out(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = copy / "long-range.quick.csv"
    right = table.read_bytes()
    table.write_text("")
    write, failures = publishing.replace, []

    def fail(path: Path, content: str) -> None:
        if not failures:
            failures.append(path)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        write(path, content)

    monkeypatch.setattr(publishing, "replace", fail)
    assert invoke(["leaderboard", str(copy)]) == 0
    assert "warning" not in capsys.readouterr().out
    assert (failures, table.read_bytes()) == ([table], right)


def test_a_check_of_one_version_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["leaderboard", str(copy), "--check", "--suite-version", "1"]) == 2
    assert "leave out --suite-version" in one_line(capsys.readouterr().err)
