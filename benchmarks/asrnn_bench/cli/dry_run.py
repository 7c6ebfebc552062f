"""Print the plan of a run, for ``--dry-run``."""

from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from asrnn_bench.job_records import is_known_to_be_done
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders, launcher_of
from asrnn_bench.records.job import Job
from asrnn_bench.watching.estimates import JobKind, Pace, job_seconds, known_paces, plan_seconds
from asrnn_bench.watching.words import duration, ranges
from asrnn_data.image_sets import IMAGE_SETS, images_present

WIDE = 120
"""The least width in letters of a plan that shows the origin of settings beside each model."""


def print_plan(plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> None:
    """Print the jobs of a plan, the estimated times, and how a launcher would submit them."""
    launcher = launcher_of(plan, machine)
    paces = known_paces(places.output, plan.jobs)
    here = {name for name in IMAGE_SETS if images_present(name, places.data_dir)}
    directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
    done = [is_known_to_be_done(directory) for directory in directories]
    console.print(dry_run_table(plan.jobs, done, paces, here, console.width))
    todo = [
        (directory, job)
        for directory, job, is_done in zip(directories, plan.jobs, done, strict=True)
        if not is_done and job.task.images in here and _may_start(directory, machine)
    ]
    lacking = {job.task.images for job, is_done in zip(plan.jobs, done, strict=True) if not is_done} - here
    when = (
        _when(plan_seconds([job for _, job in todo], paces, launcher.at_a_time or 1)) if todo else "nothing to wait for"
    )
    one_by_one = ", were it one job after another" if launcher.at_a_time is None and when.startswith("about") else ""
    console.print(f"{len(plan.jobs)} jobs, {len(todo)} to run, {launcher.pace}; time: {when}{one_by_one}")
    for name in sorted(lacking):
        without = sum(job.task.images == name for job in plan.jobs)
        console.print(f"{without} jobs have no data, {name}: asrnn-bench prepare fetches it", soft_wrap=True)
    if todo and (description := launcher.describe([directory for directory, _ in todo], machine.options)):
        console.print(description, soft_wrap=True)


def _when(seconds: float | None) -> str:
    return "unknown: no job of this kind has run here yet" if seconds is None else f"about {duration(seconds)}"


def _may_start(directory: JobDirectory, machine: LaunchSettings) -> bool:
    with suppress(OSError):
        return machine.retry_failed or not directory.is_given_up(machine.options.retries)
    return True


def dry_run_table(
    jobs: Sequence[Job], done: Sequence[bool], paces: dict[JobKind, Pace], images: set[str], width: int
) -> RenderableType:
    """Return a table with a row for each task and model: its seeds or trials, and the time of one job.

    Args:
        jobs: the plan.
        done: whether each job has its result.
        paces: the known pace of each kind of job.
        images: the image sets that are on this machine.
        width: the number of letters in a line. In a narrow table a task has a line, and the settings have a table.
    """
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False)
    for name in ("task", "model") if wide else ("task, model",):
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in ("units", "steps", "seeds", "done", "time a job"):
        table.add_column(name, justify="right", no_wrap=name != "seeds", overflow="fold", min_width=len(name))
    if wide:
        table.add_column("settings", overflow="fold", min_width=8)
    origins: dict[str, dict[str, list[str]]] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, job in enumerate(jobs):
        together = (job.config,) if job.tested else (job.task.name, job.model.name)
        groups.setdefault(together, []).append(index)
    task = ""
    for group in groups.values():
        job = jobs[group[0]]
        if job.task.name != task:
            task = job.task.name
            if not wide:
                table.add_row(Text(task, style="bold"))
        seconds = job_seconds(job, paces)
        settings = "" if job.model.name == "chance" else job.settings if job.tested else f"{len(group)} trials"
        if settings and job.tested:
            origins.setdefault(settings, {}).setdefault(task, []).append(job.model.name)
        table.add_row(
            *([task, job.model.name] if wide else [f"  {job.model.name}"]),
            str(job.model.hidden_size or ""),
            str(job.training.steps),
            ranges(sorted({jobs[index].seed for index in group})),
            str(sum(done[index] for index in group)),
            "no data" if job.task.images not in images else "unknown" if seconds is None else duration(seconds),
            *([settings] if wide else []),
        )
    return Group(table, "", _settings_table(origins)) if origins and not wide else table


def _settings_table(origins: dict[str, dict[str, list[str]]]) -> Table:
    """Return a table of the origins of settings, with the models and tasks that have them."""
    table = Table(box=None, pad_edge=False)
    table.add_column("settings", overflow="fold", max_width=38)
    table.add_column("of", overflow="fold")
    for settings, tasks in origins.items():
        table.add_row(settings, "; ".join(f"{task}: {', '.join(models)}" for task, models in tasks.items()))
    return table
