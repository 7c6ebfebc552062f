"""Test which trials there are, and which go on from a rung: a pure function of its records."""

from pathlib import Path

import pytest
from search_records import SEARCHED, scored

from asrnn.errors import UsageError
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.search.halving import Group, SearchPlan, plan_search


def records(group: Group, rung: int, accuracies: dict[int, float | None]) -> dict[int, Record]:
    jobs = dict(zip([trial.number for trial in group.trials], group.jobs(rung, group.trials), strict=True))
    return {number: scored(jobs[number], accuracy) for number, accuracy in accuracies.items()}


def test_a_trial_is_the_whole_training_paused_at_its_rung(plan: SearchPlan) -> None:
    (group, _) = plan.groups
    assert (group.task, group.model, group.rungs) == ("permuted-mnist", "rnn", (3, 6, 12))
    first, second, last = (trial.until(steps) for trial in group.trials[:1] for steps in group.rungs)
    assert [job.training.rung for job in (first, second, last)] == [3, 6, None]
    for job in (first, second, last):
        assert (job.tested, job.seed, job.budget) == (False, 1000, "tiny")
        assert (job.training.max_steps, job.training.schedule) == (12, "cosine")
        assert job.whole_key == last.key
    assert len({first.key, second.key, last.key}) == 3


def test_published_settings_are_the_first_trial_of_their_model_alone(plan: SearchPlan) -> None:
    published = [(group.model, group.trials[0].settings.origin) for group in plan.groups]
    assert published == [("rnn", "somebody's paper"), ("gru", "drawn")]
    assert plan.groups[0].trials[0].whole.training.learning_rate == 0.003


def test_every_model_has_as_many_places_at_every_rung(plan: SearchPlan) -> None:
    for group in plan.groups:
        assert [group.places(rung) for rung in range(3)] == [5, 2, 1]
        assert [group.steps(rung) for rung in range(3)] == [5 * 3, 2 * 3, 1 * 6]


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({1: 0.1, 2: 0.3, 3: 0.2, 4: 0.3, 5: 0.4}, [2, 5]),  # 2 and 4 are equal: the first one goes on
        ({1: 0.5, 2: 0.1, 3: 0.5, 4: 0.5, 5: 0.1}, [1, 3]),
        ({1: None, 2: 0.0, 3: None, 4: None, 5: None}, [2]),  # fewer than there are places
        ({1: None, 2: None, 3: None, 4: None, 5: None}, []),
    ],
)
def test_the_best_third_goes_on_whatever_the_order_of_the_ends(
    plan: SearchPlan, accuracies: dict[int, float | None], expected: list[int]
) -> None:
    group = plan.groups[0]
    ended = records(group, 0, accuracies)
    backwards = dict(reversed(list(ended.items())))
    for each in (ended, backwards):
        assert [trial.number for trial in group.going_on(0, each)] == expected


def test_a_failed_trial_does_not_go_on(plan: SearchPlan) -> None:
    group = plan.groups[0]
    ended = records(group, 0, {1: 0.9, 2: 0.1, 3: 0.1, 4: 0.1, 5: 0.1})
    ended[1] = without_result(ended[1].job, "failed", "refused by the contract")
    assert [trial.number for trial in group.going_on(0, ended)] == [2, 3]


def test_the_logistic_regression_is_searched_with_all_models_or_by_name(searched_suite: Path) -> None:
    suite = load_suite(str(searched_suite))
    for models, expected in (
        ([], ["logistic-regression", "rnn"]),
        (["gru"], ["gru"]),
        (["logistic-regression"], ["logistic-regression"]),
    ):
        assert [group.model for group in plan_search(suite, Request(models=models)).groups] == expected
    with pytest.raises(UsageError, match="nothing to search for"):
        plan_search(suite, Request(models=["chance"]))


def test_a_budget_of_too_few_steps_is_refused_in_one_line(searched_suite: Path) -> None:
    with pytest.raises(UsageError, match=r"^1 steps on permuted-mnist are too few for the rungs \[0.25, 0.5, 1.0\]"):
        plan_search(load_suite(str(searched_suite)), Request(max_steps=1))


def test_a_suite_without_a_search_is_refused_in_one_line(tiny_suite: Path) -> None:
    with pytest.raises(UsageError, match=r"suite tiny has no \[search\]"):
        plan_search(load_suite(str(tiny_suite)), Request())


def test_a_misspelt_hyper_parameter_of_a_space_is_refused_in_one_line(searched_suite: Path) -> None:
    searched_suite.write_text(SEARCHED + "sigmaw = [1.0, 2.0]\n")
    suite = load_suite(str(searched_suite))
    with pytest.raises(UsageError, match=r"^unknown hyper-parameter of rnn in suite tiny 'sigmaw'; .* 'sigma_w'\?"):
        plan_search(suite, Request(models=["rnn"]))


def test_a_task_that_is_not_searched_is_refused_in_one_line(searched_suite: Path) -> None:
    text = SEARCHED.replace('tasks = ["permuted-mnist"]', 'tasks = ["permuted-mnist", "pixel-mnist"]', 1)
    searched_suite.write_text(text)
    with pytest.raises(UsageError, match=r"^unknown task of the search of tiny 'pixel-mnist'.* is: permuted-mnist$"):
        plan_search(load_suite(str(searched_suite)), Request(tasks=["pixel-mnist"]))


def test_a_run_is_refused_the_seed_of_the_trials(searched_suite: Path) -> None:
    suite = load_suite(str(searched_suite))
    assert suite.search is not None
    with pytest.raises(
        UsageError, match=rf"^seed {suite.search.seed} is the seed of the trials that chose the settings"
    ):
        make_plan(suite, Request(seeds=[0, suite.search.seed]))
    assert make_plan(suite, Request(seeds=[suite.search.seed + 1])).jobs
