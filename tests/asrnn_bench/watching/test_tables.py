import io

import pytest
from bench_support import done
from rich.console import Console, RenderableType

from asrnn_bench.jobs.directory import State
from asrnn_bench.records.job import Job, TaskConfig
from asrnn_bench.watching.display import render
from asrnn_bench.watching.observer import JobView
from asrnn_bench.watching.tables import grids, running_table


def many(job: Job, tasks: int, models: int, states: list[State]) -> list[JobView]:
    """Return the views of a suite with so many tasks and models, and a seed for each state."""
    found = []
    for task in range(tasks):
        for model in range(models):
            config = TaskConfig(name=f"a-rather-long-task-{task}", version=1, images="x", assets={})
            named = job.model.model_copy(update={"name": f"model-{model}"})
            for seed, state in enumerate(states):
                own = job.model_copy(update={"task": config, "model": named, "seed": seed})
                progress = {"step": job.training.max_steps // 50, "phase": "training"} if state == "running" else {}
                found.append(JobView.of(done(own, 0.5)) if state == "done" else JobView(own, state, None, progress))
    return found


def drawn(picture: RenderableType, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(picture)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_cell_is_the_mean_or_how_far_it_is_or_what_went_wrong(jobs: list[Job]) -> None:
    job = jobs[4]
    cells: list[tuple[list[State], str]] = [
        (["done", "done"], "50.0%"),
        (["done", "waiting"], "1 of 2 done"),
        (["running"], "at 2%"),
        (["waiting", "waiting"], "·"),
        (["failed", "done", "done"], "1 of 3 failed"),
        (["diverged"], "diverged"),
    ]
    for states, text in cells:
        (table,) = grids(many(job, 1, 1, states), 80)
        assert drawn(table, 80, 24)[1].split(maxsplit=1) == ["model-0", text]


def test_tasks_that_do_not_fit_the_width_are_tables_of_their_own(jobs: list[Job]) -> None:
    views = many(jobs[4], 10, 3, ["done"])
    tables = grids(views, 80)
    assert len(tables) > 1
    lines = [line for table in tables for line in drawn(table, 200, 24)]
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert sum(line.count("a-rather-long-task-") for line in lines) == 10
    assert sum(line.count("50.0%") for line in lines) == 30


@pytest.mark.parametrize(("tasks", "models", "width", "height"), [(2, 5, 80, 24), (30, 60, 80, 24), (5, 27, 120, 40)])
def test_the_live_picture_fits_the_terminal(jobs: list[Job], tasks: int, models: int, width: int, height: int) -> None:
    views = many(jobs[4], tasks, models, ["done", "running", "running", "failed", "waiting"])
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    lines = drawn(render(views, 8.0, console), width, height)
    assert len(lines) <= height
    assert max(len(line.rstrip()) for line in lines) <= width
    text = "\n".join(lines)
    assert f"{tasks * models} of {5 * tasks * models} jobs done" in text.replace("\n", " ")
    shown = sum("training" in line for line in lines)
    assert shown >= 1
    assert f"and {2 * tasks * models - shown} more run" in text


def test_of_too_many_models_the_unfinished_ones_are_shown(jobs: list[Job]) -> None:
    views = many(jobs[4], 3, 50, ["done"])
    views[3 * 16] = JobView(views[3 * 16].job, "running", None, {"step": 1})
    (table,) = grids(views, 80, 12)
    lines = drawn(table, 80, 24)
    assert len(lines) <= 12
    assert views[3 * 16].job.model.name in lines[1]
    assert "and 40 more models" in lines[-1]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["running", "step", "to go"]),
        (95, ["running", "step", "steps/s", "to go", "phase"]),
        (100, ["running", "step", "loss", "steps/s", "to go", "phase"]),
    ],
)
def test_the_name_of_a_running_job_is_never_cut_off(jobs: list[Job], width: int, columns: list[str]) -> None:
    """The jobs have the longest names and the longest training of the shipped suite."""
    job = next(j for j in jobs if (j.task.name, j.model.name) == ("noise-padded-cifar10", "antisymmetric-gated"))
    job = job.model_copy(update={"training": job.training.model_copy(update={"max_steps": 50_000})})
    now = {"step": 12_345, "loss": 2.302, "steps_per_second": 0.9}
    views = [JobView(job, "running", None, {**now, "phase": phase}) for phase in ("training", "validating")]
    head, training, validating = drawn(running_table(views, width), width, 24)
    assert head.replace("to go", "to_go").split() == [name.replace(" ", "_") for name in columns]
    assert training.startswith("noise-padded-cifar10 / antisymmetric-gated / seed 0 12345/50000 ")
    assert "11 h 37 min" in training
    assert "validating" in validating
    assert "…" not in training + validating


def test_a_name_that_is_wider_than_a_terminal_takes_several_lines(jobs: list[Job]) -> None:
    job = jobs[4].model_copy(update={"model": jobs[4].model.model_copy(update={"name": "m" * 64})})
    views = [JobView(job, "running", None, {"step": 1, "phase": "training"}), JobView.of(done(job, 0.5))]
    (table,) = grids(views, 80)
    for picture in (running_table(views[:1], 80), table):
        lines = drawn(picture, 80, 24)
        assert sum(line.count("m") for line in lines) in (64, 65)  # a task or a state may have one, too
        assert "…" not in "".join(lines)
