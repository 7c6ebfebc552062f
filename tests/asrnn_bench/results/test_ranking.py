"""Entries are ordered by the mean of their ranks, and no entry gains by a task that it did not do."""

from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import frame
from asrnn_bench.results.record_files import read_records

MODELS = ("lstm", "gru", "exprnn")


@pytest.fixture
def by_name(jobs: list[Job]) -> dict[str, list[Job]]:
    """The jobs of each model, one a task."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        if job.seed == 0:
            found.setdefault(job.model.name, []).append(job)
    return found


def diverged(job: Job) -> Record:
    return Record(key=job.key, job=job, status="diverged", reason="the training loss became nan at step 7")


def order(records: list[Record]) -> list[str]:
    (board,) = boards(records)
    return board.entries(ranked=True)


def mean_ranks(records: list[Record]) -> dict[str, float]:
    table = frame(records)
    assert (table.groupby("entry")["mean_rank"].nunique(dropna=False) == 1).all()
    return {entry: float(rank) for entry, rank in zip(table["entry"], table["mean_rank"], strict=True) if rank == rank}


def test_ranks_are_those_on_each_task_and_their_mean_orders_the_entries(by_name: dict[str, list[Job]]) -> None:
    scores = {"lstm": [0.9, 0.5, 0.5, 0.5, 0.5], "gru": [0.4, 0.6, 0.6, 0.6, 0.6], "exprnn": [0.4, 0.1, 0.1, 0.1, 0.6]}
    records = [done(job, value) for name in MODELS for job, value in zip(by_name[name], scores[name], strict=True)]
    # gru: 2, 1, 1, 1, 1; lstm: 1, 2, 2, 2, 3; exprnn: 2 with gru, 3, 3, 3, 1 with gru
    assert mean_ranks(records) == pytest.approx({"gru": 6 / 5, "lstm": 10 / 5, "exprnn": 12 / 5})
    assert order(records) == ["gru", "lstm", "exprnn"]
    table = frame(records).set_index(["entry", "task"])["rank"]
    assert sorted(table["gru"]) == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("how", ["diverged", "failed", "no-data", "missing"])
def test_a_task_without_a_score_counts_as_last_and_never_as_one_task_fewer(
    by_name: dict[str, list[Job]], how: str
) -> None:
    *most, last = by_name["gru"]
    lost = [] if how == "missing" else [diverged(last) if how == "diverged" else without_result(last, how, "why")]  # type: ignore[arg-type]
    records = [*(done(job, 0.95) for job in most), *lost]
    records += [done(job, 0.3) for job in by_name["lstm"]] + [done(job, 0.1) for job in by_name["chance"]]
    assert mean_ranks(records) == pytest.approx({"gru": (4 * 1 + 2) / 5, "lstm": (4 * 2 + 1) / 5})
    assert order(records) == ["gru", "lstm"]


def test_a_model_of_one_task_does_not_stand_above_one_of_all(by_name: dict[str, list[Job]]) -> None:
    records = [done(by_name["gru"][0], 0.99)]
    records += [done(job, 0.3) for job in by_name["lstm"]] + [done(job, 0.2) for job in by_name["exprnn"]]
    assert order(records) == ["lstm", "exprnn", "gru"]


def test_a_task_that_nobody_has_the_data_for_does_not_count(by_name: dict[str, list[Job]]) -> None:
    first, *others = range(5)
    records = [done(by_name[name][i], 0.5 if name == "gru" else 0.25) for name in MODELS[:2] for i in others]
    records += [without_result(by_name[name][first], "no-data", "no data") for name in MODELS[:2]]
    assert mean_ranks(records) == {"gru": 1.0, "lstm": 2.0}
    (board,) = boards(records)
    assert "on 4 tasks" in board.order
    assert board.without_data == f"No data: {by_name['gru'][first].task.name}."
    table = frame(records)
    assert table[table["task"] == by_name["gru"][first].task.name]["rank"].isna().all()


def test_seeds_that_were_lost_do_not_better_the_rank(by_name: dict[str, list[Job]]) -> None:
    job = by_name["gru"][0]
    seeds = [job.model_copy(update={"seed": seed}) for seed in range(4)]
    records = [done(seeds[0], 0.9), *(diverged(each) for each in seeds[1:]), done(by_name["lstm"][0], 0.6)]
    assert order(records) == ["lstm", "gru"]
    assert frame(records).set_index("entry").loc["gru", "mean"] == 0.9


def test_what_trains_nothing_recurrent_is_not_ranked(by_name: dict[str, list[Job]]) -> None:
    records = [done(job, 0.99) for name in ("chance", "logistic-regression") for job in by_name[name]]
    records += [done(job, 0.3) for job in by_name["lstm"]]
    assert mean_ranks(records) == {"lstm": 1.0}
    table = frame(records)
    assert table[table["model"] != "lstm"]["rank"].isna().all()
    (board,) = boards(records)
    assert board.entries(ranked=False) == ["chance", "logistic-regression"]


def test_equal_scores_share_a_rank_however_their_seeds_add_up(by_name: dict[str, list[Job]]) -> None:
    values = {"gru": [0.1, 0.2, 0.3], "lstm": [0.3, 0.2, 0.1]}
    records = [
        done(by_name[name][0].model_copy(update={"seed": seed}), value)
        for name, each in values.items()
        for seed, value in enumerate(each)
    ]
    assert mean_ranks(records) == {"gru": 1.0, "lstm": 1.0}


COMMITTED = Path(__file__).parents[3] / "leaderboards"


def with_rate(job: Job, rate: float) -> Job:
    return job.model_copy(update={"training": job.training.model_copy(update={"learning_rate": rate})})


def test_one_more_configuration_on_one_task_leaves_the_ranks_of_a_leaderboard() -> None:
    """The added entry is the worst on its task, so all others keep their ranks."""
    found = [r for r in read_records(COMMITTED)[0] if r.job.suite_version == 2]
    before = mean_ranks(found)
    best = order(found)[0]
    (record,) = (r for r in found if (r.job.model.name, r.job.task.name) == (best, "permuted-mnist"))
    extra = with_rate(record.job, 0.5)
    after = mean_ranks([*found, done(extra, 0.01)])
    own = {entry: rank for entry, rank in after.items() if entry.startswith(f"{best} (")}
    assert {entry: rank for entry, rank in after.items() if entry not in own} == pytest.approx(
        {entry: rank for entry, rank in before.items() if entry != best}
    )
    assert len(own) == 2
    assert min(own.values()) == pytest.approx(before[best])
    last = len(before) + 1  # where it was first among ``before``, it is last among these
    rank_before = frame(found).set_index(["entry", "task"])["rank"][best, "permuted-mnist"]
    assert max(own.values()) == pytest.approx(before[best] + (last - rank_before) / 5)
    assert order([*found, done(extra, 0.01)])[-1] == best  # what is lent has no rank of its own, and stands below


def test_scores_count_for_entries_of_the_same_code_only(by_name: dict[str, list[Job]]) -> None:
    lstm = by_name["lstm"]
    other = lstm[0].model_copy(update={"threads": 2})
    records = [*(done(job, 0.5) for job in lstm), done(other, 0.6)]
    assert mean_ranks(records) == pytest.approx(
        {"lstm (threads=1)": (2 + 4 * 1) / 5, "lstm (threads=2)": (1 + 4 * 2) / 5}
    )


def test_a_score_that_counts_for_two_entries_moves_no_other_model_twice(by_name: dict[str, list[Job]]) -> None:
    lstm = [with_rate(job, 0.001 * (1 + place)) for place, job in enumerate(by_name["lstm"])]
    records = [*(done(job, 0.5) for job in lstm), done(with_rate(lstm[0], 0.25), 0.3)]
    records += [done(job, 0.4) for job in by_name["gru"]]
    assert mean_ranks(records) == pytest.approx(
        {"lstm (learning_rate=0.001)": 1.0, "lstm (learning_rate=0.25)": (3 + 4 * 1) / 5, "gru": 10 / 5}
    )
    (board,) = boards(records)
    assert "is ranked with the model's scores on the tasks that have one" in board.order
    assert "as the last, rank 3." in board.order
    table = frame(records)
    assert table[table["entry"] == "lstm"]["rank"].tolist() == [1] * 4


def test_a_leaderboard_without_ranks_says_why(by_name: dict[str, list[Job]]) -> None:
    (board,) = boards([done(job, 0.1) for job in by_name["chance"]])
    assert board.order == "Nothing here is ranked, as nothing recurrent was trained."
    (board,) = boards([without_result(job, "no-data", "no data") for job in by_name["gru"]])
    assert board.order == "Nothing here is ranked, as nobody had the data."
