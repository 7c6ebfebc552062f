"""A leaderboard fits a terminal of any width, and versions of a suite have leaderboards of their own."""

import io
import re
from pathlib import Path

import pytest
from bench_support import done
from rich.console import Console

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import csv_of
from asrnn_bench.results.markdown import board_markdown
from asrnn_bench.results.publishing import board_files
from asrnn_bench.results.record_files import read_records
from asrnn_bench.results.terminal import _broken, terminal_table

COMMITTED = Path(__file__).parents[3] / "leaderboards"


def lines_of(records: list[Record], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal_table(records, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def committed() -> list[Record]:
    return read_records(COMMITTED)[0]


def heads_of(lines: list[str]) -> list[str]:
    """Return the names of the columns of all tables, joined from their broken lines."""
    found: list[str] = []
    for number, last in enumerate(lines):
        if last.startswith("test accuracy, %"):
            first = max(i for i in range(number) if not lines[i]) + 1
            rule = next(line for line in lines[number:] if line.startswith("─"))
            spans = [match.span() for match in re.finditer("─+", rule)][1:]
            for start, stop in spans:
                words = [line[start:stop].strip() for line in lines[first : number + 1]]
                found.append("".join(word if word.endswith("-") else f"{word} " for word in words if word).strip())
    return found


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_every_head_and_every_score_is_whole_whatever_the_width(committed: list[Record], width: int) -> None:
    board = boards(committed)[0]
    lines = lines_of(committed, width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert heads_of(lines) == ["mean rank", *board.tasks]
    for entry in board.entries(ranked=True) + board.entries(ranked=False):
        own = " ".join(line for line in lines if line.split()[:1] == [entry])
        assert own.count("±") == len(board.tasks)


def test_the_order_stands_above_the_table_and_baselines_below_a_rule(committed: list[Record]) -> None:
    lines = lines_of(committed, 80)
    board = boards(committed)[0]
    text = " ".join(lines)
    assert " ".join(board.order.split()) in " ".join(text.split())
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("test accuracy, %")) :]
    rule = next(i for i, line in enumerate(table) if line.startswith("─"))
    assert [line.split()[0] for line in table[1:rule]] == board.entries(ranked=True)
    assert [line.split()[0] for line in table[rule + 1 : rule + 3]] == ["logistic-regression", "chance"]
    assert text.index("Order:") < text.index("antisymmetric")
    assert board.order in board_markdown(board)


def test_five_tasks_stand_side_by_side_on_eighty_columns(committed: list[Record]) -> None:
    lines = lines_of(committed, 80)
    assert sum(line.startswith("test accuracy, %") for line in lines) == 1
    (best,) = (line for line in lines if line.startswith(boards(committed)[0].entries(ranked=True)[0] + " "))
    assert best.count("±") == len(boards(committed)[0].tasks) == 5


def test_heads_are_whole_where_there_is_room(committed: list[Record]) -> None:
    (head,) = (line for line in lines_of(committed, 120) if line.startswith("test accuracy"))
    assert head.split()[3:] == ["mean", "rank", *boards(committed)[0].tasks]


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("noise-padded-cifar10", 10, ["noise-", "padded-", "cifar10"]),
        ("noise-padded-cifar10", 13, ["noise-padded-", "cifar10"]),
        ("noise-padded-cifar10", 20, ["noise-padded-cifar10"]),
        ("mean rank", 5, ["mean", "rank"]),
        ("pixel (max_steps=3)", 10, ["pixel", "(max_steps=3)"]),
    ],
)
def test_a_name_is_broken_after_hyphens_and_spaces(name: str, width: int, lines: list[str]) -> None:
    assert _broken(name, width) == lines


def test_tasks_without_data_take_a_line_and_no_column(jobs: list[Job]) -> None:
    records = [
        without_result(job, "no-data", "a long story") if "cifar10" in job.task.name else done(job, 0.5) for job in jobs
    ]
    lines = lines_of(records, 80)
    assert "No data: noise-padded-cifar10, pixel-cifar10." in lines
    assert sum("cifar" in line for line in lines) == 1
    assert heads_of(lines) == ["mean rank", "noise-padded-mnist", "permuted-mnist", "pixel-mnist"]
    (board,) = boards(records)
    written = board_markdown(board)
    assert written.count("cifar") == 2
    assert "No data: noise-padded-cifar10, pixel-cifar10.\n" in written
    assert csv_of(board.rows).count("cifar10,") > 10  # the CSV has every row, with its reason


def test_with_no_data_at_all_there_is_no_table(jobs: list[Job]) -> None:
    records = [without_result(job, "no-data", "why") for job in jobs if job.task.name == "pixel-cifar10"]
    lines = lines_of(records, 80)
    assert "No data: pixel-cifar10." in lines
    assert not any(line.startswith("test accuracy") for line in lines)
    assert "|" not in board_markdown(boards(records)[0])


def test_a_task_that_somebody_has_data_for_keeps_its_column(jobs: list[Job]) -> None:
    two = [job for job in jobs if job.task.name == "pixel-cifar10" and job.model.name in ("lstm", "gru")][:2]
    lines = lines_of([done(two[0], 0.5), without_result(two[1], "no-data", "why")], 80)
    assert sum("no data" in line for line in lines) == 1
    assert not any(line.startswith("No data") for line in lines)


def test_the_rule_stands_in_the_same_table_of_the_markdown(committed: list[Record]) -> None:
    board = boards(committed)[0]
    lines = board_markdown(board).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| model | mean rank"))
    table = [line.split("|")[1].strip() for line in lines[start : lines.index("", start)]]
    assert table[2:] == [*board.entries(ranked=True), "───", *board.entries(ranked=False)]
    widths = {line.count("|") for line in lines[start : lines.index("", start)]}
    assert len(widths) == 1


def test_long_names_take_several_lines_and_scores_none(jobs: list[Job]) -> None:
    job = next(job for job in jobs if job.model.name == "lstm")
    words = [{"mode": "word " * 12 + end} for end in "ab"]
    both = [job.model_copy(update={"model": job.model.model_copy(update={"hyper": hyper})}) for hyper in words]
    lost = [without_result(each.model_copy(update={"seed": 7}), "failed", "why") for each in both]
    lines = lines_of([*(done(each, 0.5) for each in both), *lost], 50)
    assert max(map(len, lines)) <= 50
    assert "".join(lines).count("50.0 ±4.4 (1 lost)") == 2
    assert "".join(lines).count("word") in (24, 48)  # in each block


def test_a_version_of_a_suite_has_a_table_and_files_of_its_own(jobs: list[Job]) -> None:
    job = next(job for job in jobs if job.model.name == "lstm")
    versions = {version: job.model_copy(update={"suite_version": version}) for version in (2, 10, 9)}
    records = [done(each, version / 100) for version, each in versions.items()]
    files = board_files(Path("x"), boards(records))
    assert sorted(path.name for path in files if path.suffix == ".csv") == [
        "long-range.quick.csv",
        "long-range.quick.v2.csv",
        "long-range.quick.v9.csv",
    ]
    for version in (2, 9, 10):
        name = "long-range.quick.csv" if version == 10 else f"long-range.quick.v{version}.csv"
        (line,) = files[Path("x") / name].splitlines()[1:]
        assert f",{version / 100:g}," in line
    text = "\n".join(lines_of(records, 80))
    assert "(version 10)" in text
    assert "10.0 ±" in text
    assert text.count("±") == 2  # one score, and the legend


def test_two_suites_whose_names_run_together_are_two_leaderboards(jobs: list[Job]) -> None:
    pairs = [("a.b", "c"), ("a", "b.c"), ("a", "b.c.v1")]
    records = [done(jobs[4].model_copy(update={"suite": s, "budget": b}), 0.5) for s, b in pairs]
    records.append(done(jobs[4].model_copy(update={"suite": "a", "budget": "b.c", "suite_version": 1}), 0.25))
    files = board_files(Path("x"), boards(records))
    assert len(files) == 2 * 4
    assert sum(",0.25," in text for path, text in files.items() if path.suffix == ".csv") == 1
