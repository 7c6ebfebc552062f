"""The expected best of k trials equals the mean over all draws."""

from itertools import product
from statistics import mean

import pytest
from search_records import scored

from asrnn_bench.records.record import without_result
from asrnn_bench.search.climbing import Result
from asrnn_bench.search.expected_best import curves, curves_csv, expected_best
from asrnn_bench.search.halving import SearchPlan


@pytest.mark.parametrize("scores", [[0.3], [0.5, 0.1, 0.9], [0.2, 0.2, 0.7, 0.0], [0.11, 0.57, 0.31, 0.57, 0.9]])
def test_the_expected_best_is_the_mean_over_all_draws(scores: list[float]) -> None:
    for k, found in enumerate(expected_best(scores), start=1):
        exact = mean(max(drawn) for drawn in product(scores, repeat=k))
        assert found == pytest.approx(exact, rel=1e-13)  # a few roundings of float64


def test_the_expected_best_grows_from_the_mean_towards_the_best() -> None:
    scores = [0.12, 0.34, 0.1, 0.98, 0.5, 0.5]
    curve = expected_best(scores)
    assert curve[0] == pytest.approx(mean(scores), rel=1e-13)
    assert curve == sorted(curve)
    assert 0.8 < curve[-1] < 0.98


def test_a_trial_without_a_score_counts_as_nothing_and_one_without_data_does_not_count(plan: SearchPlan) -> None:
    (rnn, gru), results = plan.groups, []
    for group in (rnn, gru):
        for trial, job in zip(group.trials, group.jobs(0, group.trials), strict=True):
            record = scored(job, None if trial.number > 1 else 0.5)
            if group is gru:
                record = without_result(job, "no-data", "not here")
            results.append(Result(group, trial, 3, record))
    assert curves(results) == {("permuted-mnist", "rnn"): expected_best([0.5, 0.0, 0.0, 0.0, 0.0])}


def test_the_csv_has_a_line_for_each_number_of_trials() -> None:
    lines = curves_csv({("pixel-mnist", "lstm"): [0.1, 0.25], ("a-task", "gru"): [0.5]}).splitlines()
    assert lines == [
        "task,model,trials,expected_val_accuracy",
        "a-task,gru,1,0.5000",
        "pixel-mnist,lstm,1,0.1000",
        "pixel-mnist,lstm,2,0.2500",
    ]
