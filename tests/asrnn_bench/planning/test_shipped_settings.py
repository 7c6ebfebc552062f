"""The settings of the shipped suites are accepted by the models and their training."""

import pytest

from asrnn import build_model
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite, shipped_suites
from asrnn_bench.worker.building import build_module
from asrnn_data.tasks import find_task

SETTINGS = [
    (suite, task, model)
    for suite in shipped_suites()
    for task, models in load_suite(suite).settings.items()
    for model in models
    if model != "logistic-regression"
]


@pytest.mark.parametrize(("suite", "task", "model"), SETTINGS)
def test_a_model_is_built_and_its_optimiser_made(suite: str, task: str, model: str) -> None:
    jobs = make_plan(load_suite(suite), Request(models=[model], tasks=[task])).jobs
    job = next(job for job in jobs if job.model.name == model)
    target = job.model.target.removeprefix("asrnn.cells.").partition(":")[0].replace("_", "-")
    found = find_task(task)
    built = build_model(target, input_size=found.input_size, hidden_size=8, num_outputs=10, **job.model.hyper)
    build_module(job, built, num_classes=10).configure_optimizers()
