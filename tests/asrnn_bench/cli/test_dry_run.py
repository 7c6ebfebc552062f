"""The plan of ``--dry-run`` fits a terminal of any width."""

import io

import pytest
from rich.console import Console

from asrnn_bench.cli.dry_run import dry_run_table
from asrnn_bench.records.job import Job
from asrnn_bench.watching.estimates import Pace, kind_of


@pytest.mark.parametrize("width", [80, 120, 250])
def test_the_plan_is_whole_on_a_terminal_of_any_width(jobs: list[Job], width: int) -> None:
    """The jobs have the longest names, and the steps and seeds of the longest budget."""
    plan = [j.model_copy(update={"training": j.training.model_copy(update={"max_steps": 50_000})}) for j in jobs]
    plan = [job.model_copy(update={"seed": seed}) for job in plan[: len(plan) // 2] for seed in range(10)]
    paces = {kind_of(plan[0]): Pace(0.5)}
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(dry_run_table(plan, [job.seed < 4 for job in plan], paces, {"mnist-5k-v1"}, width))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in file.getvalue()
    head = " ".join(lines[0].split()).replace("time a job", "time-a-job")
    names = "units steps seeds done time-a-job"
    assert head == (f"task model {names} settings" if width >= 120 else f"task, model {names}")
    rows = [line.split() for line in lines if " antisymmetric-gated " in line and "50000" in line]
    assert len(rows) == 5  # one a task
    assert all("64 50000 0-9 4" in " ".join(row) for row in rows)
    assert [line for line in lines if "no data" in line]
    for job in plan:
        if job.model.name != "chance":
            assert set(job.settings.split()) <= set(file.getvalue().split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_trials_of_a_model_are_one_row_of_the_plan(jobs: list[Job], width: int) -> None:
    trials = [
        job.model_copy(update={"tested": False, "seed": 1000, "settings": f"trial {number}"})
        for job in jobs
        if job.seed == 0 and job.model.name in ("lstm", "gru")
        for number in range(1, 13)
    ]
    file = io.StringIO()
    console = Console(file=file, width=width)
    console.print(dry_run_table(trials, [False] * len(trials), {}, set(), width))
    rows = [line for line in file.getvalue().splitlines() if " 1000 " in line]
    assert len(rows) == 2 * len({job.task.name for job in trials})
    assert all(row.endswith("12 trials") for row in (line.rstrip() for line in rows)) == (width >= 120)
