import tomllib
from pathlib import Path

import pytest

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.planning.spec import SuiteSpec
from asrnn_bench.planning.suite_files import load_suite, shipped_suites


@pytest.mark.parametrize("name", list(shipped_suites()))
def test_every_shipped_suite_is_read_and_is_named_as_its_file(name: str) -> None:
    assert load_suite(name).name == name


def test_an_unknown_suite_is_named_with_its_near_match() -> None:
    with pytest.raises(UnknownNameError, match="unknown suite 'long-rang'; did you mean 'long-range'"):
        load_suite("long-rang")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('summary = "four steps"', 'sumary = "four steps"', "did you mean 'summary'"),
        ("max_steps = 4", "max_step = 4", "unknown key 'budgets.tiny.max_step'; did you mean 'max_steps'"),
        ("version = 1", "version = 0", "version: .*greater than 0.*found 0"),
        ("seeds = [0]", "seeds = [-1]", "budgets.tiny.seeds.0"),
        ('tasks = ["permuted-mnist"]', "tasks = []", "tasks: "),
        ("version = 1\n", "", "the key 'version' is missing"),
        ('default_budget = "tiny"', 'default_budget = "huge"', "unknown budget 'huge'"),
        ('name = "tiny"', 'name = "../tiny"', "name: "),
        ("max_steps = 4", "max_steps = ", "not a TOML file"),
        ("permuted-mnist", "permuted-mnits", "unknown task 'permuted-mnits'; did you mean 'permuted-mnist'"),
        ("mnist = ", "mnits = ", "unknown image set 'mnits'; did you mean 'mnist'"),
        ("[budgets.tiny]", "[settings.permuted-mnist.rnnn]\norigin = 'x'\n[budgets.tiny]", "did you mean 'rnn'"),
        (
            "[budgets.tiny]",
            "[settings.permuted-mnist.rnn]\norigin = 'x'\nhyper = { seed = 3 }\n[budgets.tiny]",
            "settings.permuted-mnist.rnn.hyper: 'seed' is not a hyper-parameter, as a run gives it",
        ),
        ("[budgets.tiny]", "[settings.pixel-mnist.rnn]\norigin = 'x'\n[budgets.tiny]", "unknown task of suite tiny"),
        (
            "[budgets.tiny]",
            "[budgets.tiny.tasks.permuted-mnist]\nhidden_size = { rnn = 0 }\n[budgets.tiny]",
            "hidden_size",
        ),
        ('name = "tiny"', 'name = "long-range"', "is called 'long-range' as a shipped suite is, and differs"),
    ],
)
def test_a_fault_in_a_suite_file_is_one_line(tiny_suite: Path, old: str, new: str, message: str) -> None:
    text = tiny_suite.read_text()
    assert old in text
    tiny_suite.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=message) as caught:
        load_suite(str(tiny_suite))
    assert "\n" not in str(caught.value)
    assert str(tiny_suite) in str(caught.value)


def test_a_suite_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read suite file .*No such file"):
        load_suite(str(tmp_path / "absent.toml"))


def test_specs_are_immutable_and_survive_a_round_trip() -> None:
    path = shipped_suites()["long-range"]
    suite = SuiteSpec.model_validate(tomllib.loads(path.read_text()))
    assert SuiteSpec.model_validate(suite.model_dump()) == suite
    with pytest.raises(ValueError, match="frozen"):
        suite.name = "other"  # type: ignore[misc]
