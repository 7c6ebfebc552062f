"""The settings of the shipped suite come from authors or from its trials, and its trials from its spaces."""

import csv
import json

import pytest

from asrnn_bench.planning.settings import Settings, settings_of
from asrnn_bench.planning.suite_files import load_suite, shipped_suites
from asrnn_bench.planning.trials import draw, search_of

Row = dict[str, str]
NUMBERS = ("learning_rate", "structured_learning_rate", "gradient_clip_norm", "weight_decay", "momentum")
SUITE = load_suite("long-range")
SEARCH = search_of(SUITE)


def _rows(name: str) -> list[Row]:
    with (shipped_suites()["long-range"].parent / name).open(newline="") as file:
        return list(csv.DictReader(file))


TRIALS, OLDER_TRIALS = _rows("long-range.trials.csv"), _rows("long-range.v2.trials.csv")
SEARCHED = sorted({(row["task"], row["model"]) for row in TRIALS})


def _of(rows: list[Row], task: str, model: str) -> list[Row]:
    return [row for row in rows if (row["task"], row["model"]) == (task, model)]


def _settings(row: Row) -> Settings:
    """The settings of a trial, but for the schedule, which is the budget's."""
    own = {name: float(row[name]) for name in NUMBERS if row[name]}
    return settings_of({"optimizer": row["optimizer"], **own, **json.loads(row["hyper"])}, "a row")


def _alike(one: Settings, other: Settings) -> bool:
    left_out = {"origin", "schedule", "schedule_steps", "schedule_factor"}
    return one.model_dump(exclude=left_out) == other.model_dump(exclude=left_out)


def test_all_models_are_searched_on_the_same_tasks() -> None:
    tasks = {task for task, _ in SEARCHED}
    assert {(task, model) for task in tasks for model in [*SUITE.models, "logistic-regression"]} == set(SEARCHED)
    assert tasks <= set(SEARCH.tasks)


@pytest.mark.parametrize(("task", "model"), SEARCHED)
def test_the_trials_are_those_that_the_space_gives(task: str, model: str) -> None:
    drawn, rows = draw(SEARCH, model, task), _of(TRIALS, task, model)
    assert {int(row["trial"]) for row in rows} == set(range(1, SEARCH.trials + 1))
    for row in rows:
        assert _alike(_settings(row), drawn[int(row["trial"]) - 1])


@pytest.mark.parametrize(("task", "model"), SEARCHED)
def test_the_settings_are_those_of_the_best_trial_on_validation(task: str, model: str) -> None:
    scored = [row for row in _of(TRIALS, task, model) if row["val_accuracy"]]
    best = max(scored, key=lambda row: (int(row["rung"]), float(row["val_accuracy"]), -int(row["trial"])))
    for place in [task, *(twin for twin, source in SEARCH.same_as.items() if source == task)]:
        assert _alike(SUITE.settings[place][model], _settings(best))
        origin = f"long-range.trials.csv, {task}, trial {best['trial']}"
        assert SUITE.settings[place][model].origin.partition(", which is ")[0] == origin


def test_older_settings_are_those_of_the_best_trial_of_their_version() -> None:
    for task, models in SUITE.settings.items():
        source = SEARCH.same_as.get(task, task)
        for model, settings in models.items():
            if settings.origin.startswith("long-range.v2.trials.csv"):
                assert (source, model) not in SEARCHED
                rows = [row for row in _of(OLDER_TRIALS, source, model) if row["val_accuracy"]]
                best = max(rows, key=lambda row: (float(row["val_accuracy"]), -int(row["trial"])))
                assert _alike(settings, settings_of(json.loads(best["settings"]), "a row"))


def test_the_trials_columns_hold_no_test_score() -> None:
    assert not [column for column in [*TRIALS[0], *OLDER_TRIALS[0]] if "test" in column]
