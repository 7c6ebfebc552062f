import csv
import io
import math
import random
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.files.plain_text import spreadsheet_safe
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Cost, Record, Scores, without_result
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import COLUMN_NAMES, csv_text, rows
from asrnn_bench.results.markdown import board_markdown
from asrnn_bench.results.publishing import board_files, write_leaderboards


@pytest.fixture
def records(jobs: list[Job]) -> list[Record]:
    return [done(job, (index * 37 % 101) / 500 + 0.1) for index, job in enumerate(jobs)]


def test_the_same_records_give_the_same_bytes_in_any_order(records: list[Record]) -> None:
    shuffled = random.Random(0).sample(records, len(records))
    assert csv_text(shuffled) == csv_text(records)
    assert board_markdown(boards(shuffled)[0]) == board_markdown(boards(records)[0])


def test_a_row_averages_seeds_and_counts_what_came_to_no_score(jobs: list[Job]) -> None:
    ours = [job for job in jobs if job.task.name == "permuted-mnist" and job.model.name == "lstm"]
    job = ours[0]
    seeds = [job.model_copy(update={"seed": seed}) for seed in range(5)]
    diverged = Record(key=seeds[3].key, job=seeds[3], status="diverged", reason="the loss became nan")
    lost = without_result(seeds[4], "failed", "a crash")
    (row,) = rows([done(seeds[0], 0.5), done(seeds[1], 0.6), done(seeds[2], 0.7), diverged, lost])
    assert row["mean"] == pytest.approx(0.6)
    assert row["std"] == pytest.approx(0.1)
    assert (row["n_seeds"], row["n_diverged"], row["n_failed"], row["n_no_data"]) == (3, 1, 1, 0)
    assert row["reasons"] == "the loss became nan; a crash"


def test_another_configuration_is_another_row_and_is_told_apart(jobs: list[Job]) -> None:
    job = next(job for job in jobs if job.model.name == "lstm")
    edited = job.model_copy(update={"model": job.model.model_copy(update={"code": {"version": 99}})})
    found = rows([done(job, 0.5), done(edited, 0.6)])
    assert [row["mean"] for row in found] == [0.6, 0.5]
    assert found[0]["config"] != found[1]["config"]
    lines = board_markdown(boards([done(job, 0.5), done(edited, 0.6)])[0]).splitlines()
    assert len({line.split("|")[1] for line in lines if line.startswith("| lstm (")}) == 2
    assert not [line for line in lines if line.startswith("| lstm |")]


def test_two_protocols_of_a_task_are_two_columns(jobs: list[Job]) -> None:
    job = next(job for job in jobs if job.task.name == "permuted-mnist" and job.model.name == "lstm")
    assets = {**job.task.assets, "bit-reversal": "0" * 64}
    other = job.model_copy(update={"task": job.task.model_copy(update={"assets": assets})})
    head = next(
        line
        for line in board_markdown(boards([done(job, 0.5), done(other, 0.6)])[0]).splitlines()
        if line.startswith("| model")
    )
    assert head.count("permuted-mnist (") == 2


def test_trials_of_a_search_are_in_no_leaderboard(jobs: list[Job]) -> None:
    job = jobs[2].model_copy(update={"tested": False})
    trial = Record(key=job.key, job=job, status="done", scores=Scores(best_step=1, val_accuracy=0.5, val_samples=500))
    assert rows([trial]) == []
    assert board_files(Path("x"), boards([trial])) == {}


def test_a_job_without_a_score_is_a_row_below_those_with_one(jobs: list[Job]) -> None:
    task = [job for job in jobs if job.task.name == "permuted-mnist" and job.seed == 0]
    found = rows([without_result(task[0], "no-data", "no data"), done(task[1], 0.0), done(task[2], 0.4)])
    assert [row["mean"] for row in found] == [0.4, 0.0, None]


def test_csv_columns_are_fixed_and_cells_are_plain(jobs: list[Job]) -> None:
    hostile = without_result(jobs[0], "failed", "=cmd|'/c calc'!A1\r\nsecond \"line\", with a comma")
    nan_free = Record(
        key=jobs[1].key,
        job=jobs[1],
        status="diverged",
        reason="nan",
        cost=Cost(
            step_seconds=None, train_seconds=1.0, peak_memory_mib=1.0, parameters_recurrent=1, parameters_total=2
        ),
    )
    text = csv_text([hostile, nan_free, done(jobs[2], 1 / 3)])
    table = list(csv.DictReader(io.StringIO(text)))
    assert text.splitlines()[0] == ",".join(COLUMN_NAMES)
    assert len(text.splitlines()) == 4
    by_model = {row["model"]: row for row in table}
    assert by_model[jobs[0].model.name]["reasons"].startswith("'=cmd")
    assert by_model[jobs[2].model.name]["mean"] == "0.333333"
    assert by_model[jobs[1].model.name]["mean"] == ""
    assert by_model[jobs[2].model.name]["n_test"] == "500"
    assert "=cmd" in board_markdown(boards([hostile])[0])
    assert "<script>" not in board_markdown(boards([without_result(jobs[0], "failed", "<script>alert(1)</script>")])[0])


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_text_cell_is_a_formula(text: str) -> None:
    assert spreadsheet_safe(text) == "'" + text


def test_budgets_and_suites_have_files_of_their_own_and_versions_do_not_mix(jobs: list[Job]) -> None:
    job = jobs[2]
    newer = job.model_copy(update={"suite_version": job.suite_version + 1})
    longer = job.model_copy(update={"budget": "short"})
    files = board_files(Path("x"), boards([done(job, 0.25), done(newer, 0.5), done(longer, 0.75)]))
    assert sorted(path.name for path in files) == [
        "long-range.quick.csv",
        "long-range.quick.md",
        f"long-range.quick.v{job.suite_version}.csv",
        f"long-range.quick.v{job.suite_version}.md",
        "long-range.short.csv",
        "long-range.short.md",
    ]
    text = files[Path("x/long-range.quick.md")]
    assert f"version {newer.suite_version}" in text
    assert "50.0" in text
    assert "25.0" not in text


def test_files_that_are_right_are_not_touched(tmp_path: Path, records: list[Record]) -> None:
    write_leaderboards(tmp_path, records)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_leaderboards(tmp_path, records)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_an_accuracy_that_is_no_number_cannot_become_a_record(jobs: list[Job]) -> None:
    with pytest.raises(ValueError, match="finite"):
        done(jobs[0], math.nan)
