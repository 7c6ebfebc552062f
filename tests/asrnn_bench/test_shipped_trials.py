"""The settings of the shipped suite come from authors or from its trials."""

import csv
import json

from asrnn_bench.planning.spec import SuiteSpec, load_suite, shipped_suites
from asrnn_bench.planning.trials import search_of


def _trials() -> list[dict[str, str]]:
    path = shipped_suites()["long-range"].with_suffix(".trials.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _from_authors(suite: SuiteSpec, task: str, model: str) -> bool:
    return suite.settings[task][model].origin.startswith("authors' ")


def test_the_settings_are_those_of_the_best_trial_on_validation() -> None:
    suite = load_suite("long-range")
    search = search_of(suite)
    rows = _trials()
    for task, models in suite.settings.items():
        source = search.same_as.get(task, task)
        for model, settings in models.items():
            if model not in [*suite.names, "logistic-regression"] or _from_authors(suite, task, model):
                continue
            trials = [row for row in rows if (row["task"], row["model"]) == (source, model) and row["val_accuracy"]]
            best = max(trials, key=lambda row: (float(row["val_accuracy"]), -int(row["trial"])))
            ours = {
                name: value
                for name, value in settings.model_dump(exclude_none=True, exclude={"origin", "hyper"}).items()
                if name in json.loads(best["settings"])
            }
            assert {**ours, **settings.hyper} == json.loads(best["settings"])
            assert source in settings.origin


def test_the_trials_columns_hold_no_test_score() -> None:
    assert not [column for column in _trials()[0] if "test" in column]
