import json
from pathlib import Path

import pytest
from bench_support import TINY
from hypothesis import given
from hypothesis import strategies as st

from asrnn.errors import ModelError, UnknownNameError, UsageError
from asrnn_bench.files.canonical import canonical_json
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import NOT_RECURRENT
from asrnn_bench.planning.suite_files import load_suite, shipped_suites
from asrnn_bench.records.job import Job
from asrnn_data.tasks import find_task

CELL = """
from torch import nn
class MyCell(nn.Module):
    pass
"""


def plan(**request: object) -> list[Job]:
    return make_plan(load_suite("long-range"), Request(**request)).jobs  # type: ignore[arg-type]


def test_the_quick_plan_has_every_task_every_model_and_two_rows_that_are_not_recurrent() -> None:
    jobs = plan()
    suite = load_suite("long-range")
    pairs = {(job.task.name, job.model.name) for job in jobs}
    assert len(jobs) == len(pairs) == 5 * (8 + 2)
    assert {model for _, model in pairs} == {*suite.names, "chance", "logistic-regression"}
    assert {job.task.images for job in jobs} == {"mnist-5k-v2", "cifar10-5k-v2"}
    assert len({job.key for job in jobs}) == len(jobs)


@pytest.mark.parametrize("name", shipped_suites())
def test_quick_trains_every_model_for_the_same_steps_and_every_rate_decays(name: str) -> None:
    suite = load_suite(name)
    for budget in suite.budgets:
        trainings = [job.training for job in make_plan(suite, Request(budget=budget)).jobs]
        assert {training.schedule for training in trainings} == {"cosine"}
        if budget == "quick":
            assert {(training.max_steps, training.batch_size) for training in trainings} == {(1_000, 64)}


def test_a_budget_trains_models_of_its_own_unless_a_run_names_others(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace('["rnn"]', '["rnn", "lstm"]').replace("seeds = [0]", 'seeds = [0]\nmodels = ["lstm"]'))
    for request, models in ((Request(), ["lstm"]), (Request(models=["rnn", "gru"]), ["rnn", "gru"])):
        jobs = make_plan(load_suite(str(path)), request).jobs
        assert [job.model.name for job in jobs if job.model.name not in NOT_RECURRENT] == models
    path.write_text(TINY.replace("seeds = [0]", 'seeds = [0]\nmodels = ["rn"]'))
    with pytest.raises(UsageError, match="unknown model of suite tiny 'rn'; did you mean 'rnn'"):
        load_suite(str(path))


def test_the_paper_plan_has_the_papers_sizes_and_steps() -> None:
    sizes = {
        (job.task.name, job.model.name): (job.model.hidden_size, job.training.max_steps, job.task.images)
        for job in plan(budget="paper")
    }
    assert sizes["permuted-mnist", "antisymmetric"] == (128, 50_000, "mnist")
    assert sizes["pixel-cifar10", "antisymmetric-gated"] == (256, 50_000, "cifar10")
    assert sizes["pixel-cifar10", "lstm"] == (128, 50_000, "cifar10")
    assert sizes["noise-padded-cifar10", "unstructured-gated"] == (196, 10_000, "cifar10")


def test_a_plan_is_a_pure_function() -> None:
    assert plan(seeds=[0, 1]) == plan(seeds=[0, 1])


def test_the_key_depends_on_all_that_changes_a_result_and_on_nothing_else(jobs: list[Job]) -> None:
    job = next(job for job in jobs if job.model.name == "lstm")
    other = job.model_copy(update={"settings": "found elsewhere"})
    assert other.key == job.key
    training = job.training.model_copy(update={"learning_rate": 0.5})
    model = job.model.model_copy(update={"code": {"version": 99}})
    task = job.task.model_copy(update={"assets": {**job.task.assets, "unit": "0" * 64}})
    changes = [{"seed": 7}, {"threads": 2}, {"training": training}, {"model": model}, {"task": task}, {"tested": False}]
    keys = {job.model_copy(update=change).key for change in changes}
    assert len(keys) == len(changes)
    assert job.key not in keys
    assert job.model_copy(update={"seed": 7}).config == job.config


def test_the_key_survives_the_way_through_json(jobs: list[Job]) -> None:
    for job in jobs:
        assert Job.model_validate_json(json.dumps(job.model_dump(mode="json"))).key == job.key


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"score": float("nan")})


def test_a_job_holds_no_path(tmp_path: Path) -> None:
    file = tmp_path / "my_cell.py"
    file.write_text(CELL)
    for job in plan(models=[f"{file}:MyCell"]):
        assert str(tmp_path) not in canonical_json(job.model_dump(mode="json"))


def test_an_edited_model_file_is_another_job(tmp_path: Path) -> None:
    file = tmp_path / "my_cell.py"
    file.write_text(CELL)
    before = {job.key for job in plan(models=[f"{file}:MyCell"]) if job.model.name == "my-cell"}
    file.write_text(CELL + "# edited\n")
    after = {job.key for job in plan(models=[f"{file}:MyCell"]) if job.model.name == "my-cell"}
    assert len(before) == len(after) == 5
    assert not before & after


def test_a_users_model_starts_first(tmp_path: Path) -> None:
    file = tmp_path / "my_cell.py"
    file.write_text(CELL)
    jobs = plan(models=["lstm", f"{file}:MyCell"], tasks=["permuted-mnist"])
    assert [job.model.name for job in jobs if job.model.hidden_size] == ["my-cell", "lstm"]


def test_max_steps_is_a_budget_of_its_own() -> None:
    job = plan(max_steps=20)[0]
    assert (job.budget, job.training.max_steps, job.training.validate_every) == ("quick-20-steps", 20, 20)


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"tasks": ["permuted-mnits"]}, UnknownNameError, "did you mean 'permuted-mnist'"),
        ({"models": ["lstn"]}, UnknownNameError, "unknown model 'lstn'; did you mean 'lstm'"),
        ({"budget": "quik"}, UnknownNameError, "did you mean 'quick'"),
        ({"models": ["absent.py:Cell"]}, ModelError, "there is no file absent.py"),
    ],
)
def test_what_is_unknown_is_named_with_its_near_match(request_: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        plan(**request_)


def test_a_misspelt_hyper_parameter_of_a_built_in_cell_is_refused_in_one_line(tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    text = TINY + '[settings.permuted-mnist.rnn]\norigin = "x"\nhyper = { num_layers = 2, sigmaw = 1.0 }\n'
    suite.write_text(text)
    with pytest.raises(UsageError, match=r"^unknown hyper-parameter of rnn in suite tiny 'sigmaw'; .* 'sigma_w'\?"):
        make_plan(load_suite(str(suite)), Request())
    suite.write_text(text.replace("sigmaw", "sigma_w"))
    assert make_plan(load_suite(str(suite)), Request()).jobs[-1].model.hyper == {"num_layers": 2, "sigma_w": 1.0}


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cell.py").write_text(CELL)
    with pytest.raises(UsageError, match="two models are called 'my-cell'"):
        plan(models=[f"{tmp_path}/a/cell.py:MyCell", f"{tmp_path}/b/cell.py:MyCell"])


def test_a_budget_names_the_schedule_of_all_settings_that_name_none(tmp_path: Path) -> None:
    text = TINY.replace('models = ["rnn"]', 'models = ["rnn", "lstm", "gru"]')
    text = text.replace("seeds = [0]", 'seeds = [0]\nschedule = "cosine"')
    text += """
[settings.permuted-mnist.lstm]
origin = "a test"
schedule = "steps"
schedule_steps = [2, 3]
schedule_factor = 0.1

[settings.permuted-mnist.gru]
origin = "a test"
schedule = "constant"
"""
    file = tmp_path / "tiny.toml"
    file.write_text(text)
    jobs = {job.model.name: job.training for job in make_plan(load_suite(str(file)), Request()).jobs}
    assert {name: training.schedule for name, training in jobs.items()} == {
        "chance": "cosine",
        "logistic-regression": "cosine",
        "rnn": "cosine",
        "lstm": "steps",
        "gru": "constant",
    }
    assert (jobs["lstm"].schedule_steps, jobs["lstm"].schedule_factor) == ([2, 3], 0.1)


def test_a_job_says_the_length_of_its_sequences_and_the_scaling_of_its_input() -> None:
    for job in make_plan(load_suite("long-range"), Request()).jobs:
        assert job.task.sequence_length == find_task(job.task.name).sequence_length
        assert job.task.scaling in job.task.assets
