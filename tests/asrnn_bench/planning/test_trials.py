"""The trials of a search have the same numbers everywhere, lie in their space, and do not depend on one another."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY

from asrnn.errors import UsageError
from asrnn_bench.planning.settings import Settings
from asrnn_bench.planning.space import Range
from asrnn_bench.planning.spec import Search
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.planning.trials import draw

RATES = {"adam": {"low": 0.001, "high": 0.1, "log": True}, "sgd": {"low": 0.1, "high": 10.0}}
SPACE: dict[str, Any] = {
    "dt": {"low": 0.03, "high": 0.3, "log": True},
    "layers": {"low": 1, "high": 4},
    "gamma": [0.5, 1.0, 2.0],
    "learning_rate": RATES,
    "gradient_clip_norm": ["none", 1.0, 10.0],
    "optimizer": ["adam", "sgd"],
}


def search_in(default: dict[str, Any], trials: int = 3, **more: Any) -> Search:
    tasks = ["permuted-mnist"]
    return Search.model_validate(
        {"trials": trials, "budget": "tiny", "tasks": tasks, "space": {"default": default}, **more}
    )


def settings(origin: str = "drawn", **values: Any) -> Settings:
    return Settings.model_validate({"origin": origin, **values})


def test_the_first_trials_are_these() -> None:
    """Literal numbers, as scipy 1.11.4 with numpy 1.26.4 and scipy 1.17.1 with numpy 2.4.6 both give them."""
    assert draw(search_in(SPACE), "lstm") == [
        settings(learning_rate=0.00514, hyper={"dt": 0.106, "layers": 4, "gamma": 2.0}),
        settings(optimizer="sgd", learning_rate=6.92, hyper={"dt": 0.206, "layers": 1, "gamma": 2.0}),
        settings(learning_rate=0.00111, gradient_clip_norm=10.0, hyper={"dt": 0.0551, "layers": 3, "gamma": 1.0}),
    ]


def test_a_trial_a_model_or_an_axis_more_changes_no_other_trial() -> None:
    few = draw(search_in(SPACE, 5), "lstm")
    assert draw(search_in(SPACE, 40), "lstm")[:5] == few
    other = search_in(SPACE, 5, space={"gru": {"learning_rate": [0.1, 0.2, 0.3, 0.4, 0.5]}, "default": SPACE})
    assert draw(other, "lstm") == few
    wider = draw(search_in({**SPACE, "beta": {"low": 0.0, "high": 1.0}}, 5), "lstm")
    assert [trial.model_copy(update={"hyper": {**trial.hyper, "beta": 0}}) for trial in wider] == [
        trial.model_copy(update={"hyper": {**trial.hyper, "beta": 0}}) for trial in few
    ]


def test_the_first_dimensions_are_those_of_what_matters_most_wherever_it_stands_in_the_file() -> None:
    names = ["gradient_clip_norm", "learning_rate", "optimizer"]
    first = {name: SPACE[name] for name in names} | {name: SPACE[name] for name in SPACE if name not in names}
    assert draw(search_in(first), "lstm") == draw(search_in(SPACE), "lstm")


def test_each_model_and_each_seed_has_trials_of_its_own() -> None:
    drawn = [draw(search_in(SPACE), "lstm"), draw(search_in(SPACE), "gru"), draw(search_in(SPACE, seed=7), "lstm")]
    assert all(one != another for one in drawn for another in drawn if one is not another)


def test_trials_are_spread_over_their_space() -> None:
    trials = draw(search_in(SPACE, 36), "lem")
    assert Counter(trial.optimizer for trial in trials) == {"adam": 18, "sgd": 18}  # dimension 1 has base 2
    clips = Counter(trial.gradient_clip_norm for trial in trials)
    assert all(9 <= clips[norm] <= 15 for norm in (None, 1.0, 10.0))  # base 5 divides neither 36 points nor 3 choices
    assert {trial.hyper["layers"] for trial in trials} == {1, 2, 3, 4}
    rates = [math.log10(trial.learning_rate) for trial in trials if trial.optimizer == "adam"]
    assert all(-3 <= rate <= -1 for rate in rates)
    thirds = Counter(min(int((rate + 3) * 1.5), 2) for rate in rates)
    assert set(thirds.values()) == {6}  # dimension 2 has base 3, and every other of 36 points falls evenly, too
    assert all(0.1 <= trial.learning_rate <= 10 for trial in trials if trial.optimizer == "sgd")


def test_what_comes_from_a_range_can_be_read_and_stays_in_it() -> None:
    rate = Range(low=0.00123456, high=0.9, log=True)
    found = [rate.at(share / 1000) for share in range(1000)]
    assert found[0] == 0.00123456  # 0.00123 would lie below the range
    assert found == sorted(found)
    assert all(len(f"{number:e}".split("e")[0].rstrip("0").replace(".", "")) <= 3 for number in found[2:])
    whole = Range(low=2, high=5)
    assert [whole.at(share) for share in (0.0, 0.2499, 0.25, 0.5, 0.75, 0.999999)] == [2, 2, 3, 4, 5, 5]
    assert all(isinstance(whole.at(share), int) for share in (0.0, 0.9))


def test_published_settings_are_the_first_trial_and_no_later_one() -> None:
    space = {"learning_rate": [0.1, 0.2, 0.3, 0.4]}
    published = {"permuted-mnist": {"lstm": {"origin": "authors", "learning_rate": 0.4}}}
    search = search_in(space, 4, published=published)
    on_it = draw(search, "lstm", "permuted-mnist")
    assert on_it[0] == settings("authors", learning_rate=0.4)
    assert sorted(trial.learning_rate for trial in on_it) == [0.1, 0.2, 0.3, 0.4]
    elsewhere = draw(search, "lstm", "pixel-mnist")
    assert all(trial.origin == "drawn" for trial in elsewhere)


def test_every_setting_of_a_small_space_is_drawn_once_and_no_more_are_promised() -> None:
    space = {"learning_rate": [0.1, 0.2], "gamma": [1.0, 2.0, 3.0]}
    drawn = {(trial.learning_rate, trial.hyper["gamma"]) for trial in draw(search_in(space, 6), "lstm")}
    assert drawn == {(rate, gamma) for rate in (0.1, 0.2) for gamma in (1.0, 2.0, 3.0)}
    with pytest.raises(UsageError, match=r"\[search.space.default\] has 6 different settings for 7 trials; widen it"):
        draw(search_in(space, 7), "lstm")
    with pytest.raises(UsageError, match=r"no \[search.space.gru\] and no \[search.space.default\]"):
        draw(search_in(space, space={"lstm": space}), "gru")


SEARCH = '\n[search]\ntrials = 2\nbudget = "tiny"\ntasks = ["permuted-mnist"]\n{}\n[search.space.rnn]\n{}\n'


@pytest.mark.parametrize(
    ("search", "axis", "message"),
    [
        ("seed = 0", "learning_rate = [0.1]", "search.seed is 0, which is a seed of budget tiny too; choose another"),
        ("rungs = [0.5, 0.25]", "learning_rate = [0.1]", "search.rungs: rungs are growing shares"),
        ("rungs = [0.5, 1.5]", "learning_rate = [0.1]", "search.rungs: rungs are growing shares"),
        ("rungs = []", "learning_rate = [0.1]", "search.rungs"),
        ("max_steps = 3", "learning_rate = [0.1]", "unknown key 'search.max_steps'"),
        ("", "learning_rate = 0.1", "an axis is a list of choices, or a range such as"),
        ("", "learning_rate = []", "search.space.rnn.learning_rate"),
        ("", "learning_rate = [0.1, -1.0]", "rnn.learning_rate: Input should be greater than 0"),
        ("", "learning_rate = { low = -1.0, high = 1.0 }", "rnn.learning_rate: Input should be greater than 0"),
        ("", "gamma = { low = 0.0, high = 1.0, log = true }", "a range with log = true begins above 0, not at 0.0"),
        ("", "gamma = { low = 1.0, high = 1.0 }", "low must be below high"),
        ("", "gamma = { low = 1.0, hig = 2.0 }", "hig'; did you mean 'high'?"),
        ("", 'optimizer = ["adam", "adma"]', "rnn.optimizer: Input should be 'sgd', 'adagrad', 'rmsprop', 'adam'"),
        ("", "learning_rate = { adma = [0.1] }", "search.space.rnn.learning_rate"),
        (
            "",
            'optimizer = ["adam", "sgd"]\nlearning_rate = { adam = [0.1] }',
            "rnn.learning_rate has an axis for adam; the optimizers of this space are adam, sgd",
        ),
        ("", 'optimizer = ["adam", "none"]', "rnn.optimizer: Input should be 'sgd'"),
        ("", "hidden_size = [1, 2]", "'hidden_size' is not a hyper-parameter, as a run gives it"),
        ("", 'origin = ["me"]', "rnn.origin is not a setting that can be searched; remove it"),
        (
            '[search.published.permuted-mnist.antisymetric]\norigin = "x"',
            "gamma = [1]",
            "no model is called 'antisymetric'; did you",
        ),
        ('[search.published.permuted.rnn]\norigin = "x"', "gamma = [1]", "unknown task of suite tiny 'permuted'"),
    ],
)
def test_a_fault_in_a_search_is_one_line(tmp_path: Path, search: str, axis: str, message: str) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY + SEARCH.format(search, axis))
    with pytest.raises(UsageError) as caught:
        load_suite(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
