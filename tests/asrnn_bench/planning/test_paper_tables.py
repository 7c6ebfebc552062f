"""The suites of the paper's two tables have the rows, units and parameters that the tables print."""

import pytest

from asrnn import build_model
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import NOT_RECURRENT
from asrnn_bench.planning.suite_files import load_suite
from asrnn_data.tasks import find_task

# Chang et al., ICLR 2019, Tables 1 and 2: units, and parameters as printed. The 270k of the full-capacity uRNN are what
# its own paper prints; the formula of its code, N^2 + 25 N + 10, gives 274,954.
PRINTED = {
    "paper-table-1": {
        "lstm": (128, 68),
        "fc-urnn-116": (116, 16),
        "fc-urnn-512": (512, 275),
        "soft-orthogonal": (128, 18),
        "kru-free": (512, 12),  # printed 11k: 11,346 without the 512 biases of modReLU
        "antisymmetric": (128, 10),
        "antisymmetric-gated": (128, 10),
    },
    "paper-table-2": {
        "lstm": (128, 69),
        "unstructured-gated": (196, 42),
        "antisymmetric": (256, 36),
        "antisymmetric-gated": (256, 37),
    },
}


@pytest.mark.parametrize("suite", PRINTED)
@pytest.mark.parametrize("budget", ["short", "paper"])
def test_each_table_has_its_rows_at_its_sizes(suite: str, budget: str) -> None:
    plan = make_plan(load_suite(suite), Request(budget=budget, seeds=[0]))
    for task in {job.task.name for job in plan.jobs}:
        jobs = [job for job in plan.jobs if job.task.name == task and job.model.name not in NOT_RECURRENT]
        assert {job.model.name: job.model.hidden_size for job in jobs} == {
            name: units for name, (units, _) in PRINTED[suite].items()
        }


@pytest.mark.parametrize("suite", PRINTED)
def test_each_row_has_the_parameters_that_the_table_prints(suite: str) -> None:
    """The paper counts for one input a step in Table 1, and for the three of a pixel in both columns of Table 2."""
    plan = make_plan(load_suite(suite), Request(budget="paper", seeds=[0]))
    first = plan.jobs[0].task.name
    for job in plan.jobs:
        if job.task.name == first and job.model.name in PRINTED[suite]:
            size = find_task(first).input_size
            target = job.model.target.removeprefix("asrnn.cells.").partition(":")[0].replace("_", "-")
            model = build_model(
                target, input_size=size, hidden_size=job.model.hidden_size, num_outputs=10, **job.model.hyper
            )
            assert round(model.num_parameters() / 1000) == PRINTED[suite][job.model.name][1], job.model.name


@pytest.mark.parametrize("suite", PRINTED)
def test_every_row_says_where_its_settings_come_from(suite: str) -> None:
    for job in make_plan(load_suite(suite), Request()).jobs:
        assert job.model.name == "chance" or job.settings.startswith(
            ("long-range.trials", "long-range.v2.trials", "authors", "default; the")
        )
