"""A row of a suite gives a model a second name, and a suite may name layers of other packages."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench_support import TINY

from asrnn.errors import ModelError, UnknownNameError, UsageError
from asrnn.registry import find_model
from asrnn.sources import adapters
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.search.halving import plan_search

MODELS = 'models = ["rnn"]'
ROWS = TINY.replace(MODELS, 'models = ["rnn", "wide", "narrow", "torch.nn:GRU"]')
ROWS += """
[budgets.tiny.tasks.permuted-mnist]
hidden_size = { wide = 9, torch-nn-gru = 7 }

[rows.wide]
model = "antisymmetric"

[rows.narrow]
model = "antisymmetric"

[settings.permuted-mnist.wide]
origin = "a test"
learning_rate = 0.01
hyper = { gamma = 0.5 }

[settings.permuted-mnist.torch-nn-gru]
origin = "another test"
learning_rate = 0.02

[search]
trials = 2
rungs = [0.5, 1.0]
budget = "tiny"
tasks = ["permuted-mnist"]

[search.space.wide]
learning_rate = [0.1, 0.2]

[search.space.default]
learning_rate = [0.3, 0.4]
"""


def suite_of(folder: Path, text: str) -> str:
    path = folder / "tiny.toml"
    path.write_text(text)
    return str(path)


def plan(folder: Path, text: str = ROWS, **request: object) -> Plan:
    return make_plan(load_suite(suite_of(folder, text)), Request(**request))  # type: ignore[arg-type]


def test_a_model_stands_twice_in_a_suite_at_two_sizes_and_with_two_settings(tmp_path: Path) -> None:
    jobs = {job.model.name: job for job in plan(tmp_path).jobs}
    assert list(jobs) == ["chance", "logistic-regression", "rnn", "wide", "narrow", "torch-nn-gru"]
    wide, narrow, found = jobs["wide"], jobs["narrow"], find_model("antisymmetric")
    for job in (wide, narrow):
        model = job.model
        assert (model.origin, model.target, model.code) == (found.origin, found.target, dict(found.code))
    assert (wide.model.hidden_size, narrow.model.hidden_size) == (9, 4)
    assert (wide.training.learning_rate, wide.model.hyper, wide.settings) == (0.01, {"gamma": 0.5}, "a test")
    assert (narrow.training.learning_rate, narrow.model.hyper, narrow.settings) == (0.001, {}, "default")


def test_a_suite_names_a_layer_of_another_package(tmp_path: Path) -> None:
    job = plan(tmp_path).jobs[-1]
    assert (job.model.name, job.model.target) == ("torch-nn-gru", "torch.nn:GRU")
    assert job.model.code == dict(find_model("torch.nn:GRU").code)
    assert (job.model.hidden_size, job.training.learning_rate, job.settings) == (7, 0.02, "another test")


def test_a_run_names_rows_and_layers_beside_other_models(tmp_path: Path) -> None:
    file = tmp_path / "my_cell.py"
    file.write_text("from torch import nn\n\nclass MyCell(nn.Module):\n    pass\n")
    found = plan(tmp_path, models=["narrow", "torch.nn:RNN", "torch-nn-gru", "torch.nn:GRU", f"{file}:MyCell", "lstm"])
    names = [job.model.name for job in found.jobs if job.model.hidden_size]
    assert names == [
        "torch-nn-rnn",
        "my-cell",
        "narrow",
        "torch-nn-gru",
        "lstm",
    ]  # those that are not the suite's first


def test_a_row_of_a_layer_has_the_rows_name(tmp_path: Path) -> None:
    text = TINY.replace(MODELS, 'models = ["theirs"]') + '\n[rows.theirs]\nmodel = "torch.nn:LSTM"\n'
    job = plan(tmp_path, text).jobs[-1]
    assert (job.model.name, job.model.origin, job.model.target) == ("theirs", "module", "torch.nn:LSTM")


def test_trials_draw_from_the_space_of_the_row(tmp_path: Path) -> None:
    found = plan_search(load_suite(suite_of(tmp_path, ROWS)), Request(models=["wide", "narrow"]))
    rates = {group.model: {trial.whole.training.learning_rate for trial in group.trials} for group in found.groups}
    assert (rates["wide"], rates["narrow"]) == ({0.1, 0.2}, {0.3, 0.4})


ROW = '\n[rows.{}]\nmodel = "{}"\n'


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        (
            '["wide"]',
            ROW.format("wide", "antisymetric"),
            "rows.wide: unknown model 'antisymetric'; did you mean 'antis",
        ),
        ('["wide"]', ROW.format("wide", "no-such-thing"), "rows.wide: unknown model 'no-such-thing'"),
        ('["lstm"]', ROW.format("lstm", "gru"), "rows.lstm: a model is called 'lstm' already; give the row another"),
        ('["chance"]', ROW.format("chance", "gru"), "rows.chance: a model is called 'chance' already"),
        ('["torch-nn-x"]', ROW.format("torch-nn-x", "gru"), "rows.torch-nn-x: a model is called 'torch-nn-x' already"),
        ('["wide"]', ROW.format("wide", "chance"), "rows.wide: every task has the row 'chance' already; remove this"),
        ('["wid"]', ROW.format("wide", "gru"), "rows.wide: it is not in models, which has 'wid'; list it there, or"),
        ('["rnn"]', ROW.format("broad", "gru"), "rows.broad: it is not in models; list it there, or remove the row"),
        ('["wide"]', ROW.format("wide", "other"), "rows.wide: unknown model 'other'"),
        (
            '["wide"]',
            ROW.format("wide", "cells.py:MyCell"),
            "rows.wide.model: a suite names registered models and layers",
        ),
        ('["a.b:C"]', "", "models.0: a suite names registered models and layers, such as torch.nn:GRU"),
        ('["wide"]', '[rows.wide]\nmodle = "gru"\n', "unknown key 'rows.wide.modle'; did you mean 'model'?"),
        ('["wide"]', '[row.wide]\nmodel = "gru"\n', "unknown key 'row'; did you mean 'rows'?"),
        ('["wide"]', '[rows."Wide One"]\nmodel = "gru"\n', "rows.Wide One"),
        (
            '["wide-one"]',
            ROW.format("wide-one", "gru") + "[settings.permuted-mnist.wide-on]\norigin = 'x'\n",
            "no model is called 'wide-on'; did you mean 'wide-one'?",
        ),
        (
            '["torch.nn:GRU"]',
            "[settings.permuted-mnist.torch-nn-gruu]\norigin = 'x'\n",
            "no model is called 'torch-nn-gruu'; did you mean 'torch-nn-gru'?",
        ),
    ],
)
def test_a_fault_in_a_row_is_one_line(tmp_path: Path, models: str, more: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_suite(suite_of(tmp_path, TINY.replace(MODELS, f"models = {models}") + more))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_no_row_has_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'wid'; did you mean 'wide'?"):
        plan(tmp_path, models=["wid"])
    with pytest.raises(ModelError, match="torch.nn has no recurrent layer 'GRUU'; did you mean 'GRU'?"):
        plan(tmp_path, ROWS.replace('"torch.nn:GRU"', '"torch.nn:GRUU"'))


def test_settings_of_one_layer_are_no_typing_error_of_another(tmp_path: Path) -> None:
    text = ROWS.replace('"torch.nn:GRU"', '"torch.nn:RNN"')
    assert plan(tmp_path, text).jobs[-1].model.name == "torch-nn-rnn"


def test_a_suite_with_layers_of_a_missing_package_runs_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "is_importable", lambda package: package != "torchrecurrent")
    text = TINY.replace(MODELS, 'models = ["rnn", "theirs"]') + ROW.format("theirs", "torchrecurrent:LEM")
    assert plan(tmp_path, text, models=["rnn"]).jobs[-1].model.name == "rnn"
    with pytest.raises(ModelError, match=r"torchrecurrent:LEM is .* not installed: pip install torchrecurrent$"):
        plan(tmp_path, text)


def test_planning_with_rows_imports_neither_torch_nor_torchrecurrent(tmp_path: Path) -> None:
    pytest.importorskip("torchrecurrent")
    text = ROWS.replace('"torch.nn:GRU"', '"torch.nn:GRU", "torchrecurrent:LEM"')
    program = (
        "import sys; from asrnn_bench.cli import invoke; assert invoke(sys.argv[1:]) == 0; "
        "sys.exit(str({'torch', 'torchrecurrent'} & set(sys.modules) or '') or 0)"
    )
    words = [sys.executable, "-c", program, "--suite", suite_of(tmp_path, text), "--dry-run"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
