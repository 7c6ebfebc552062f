"""The search for hyper-parameters: the same number of trials for every model, judged on validation alone.

A trial is a job like any other, short, under a budget name of its own; so it is resumed, recorded and repeated like
any other, and its leaderboard would be ``<suite>.trials-<n>-steps``, were one made.
"""

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

from asrnn_bench.planning.plan import Plan, Request, make_plan, training_settings
from asrnn_bench.planning.spec import Budget, Search, Settings, SuiteSpec
from asrnn_bench.planning.trials import draw, search_of
from asrnn_bench.planning.values import Plain
from asrnn_bench.records import Job, Record

TRIAL_COLUMNS = ("task", "model", "trial", "status", "val_accuracy", "best_step", "settings")


@dataclass(frozen=True)
class Trials:
    """The jobs of a search, and which trial of which model each of them is."""

    plan: Plan
    numbers: dict[str, int]


def plan_trials(suite: SuiteSpec, models: list[str], tasks: list[str], threads: int) -> Trials:
    """Return the jobs of all trials of ``models`` on ``tasks``; by default the suite's own."""
    search = search_of(suite)
    jobs: list[Job] = []
    numbers: dict[str, int] = {}
    plan = make_plan(suite, Request(budget=search.budget, models=models, tasks=tasks or search.tasks, threads=threads))
    for job in plan.jobs:
        if job.model.name == "chance" or job.seed != plan.jobs[0].seed:
            continue
        for number, settings in enumerate(draw(search, job.model.name, job.task.name), start=1):
            trial = _trial(job, settings, search, suite.budget(search.budget)[1])
            jobs.append(trial)
            numbers[trial.key] = number
    return Trials(replace(plan, jobs=jobs, budget=jobs[0].budget), numbers)


def best_settings(suite: SuiteSpec, trials: Trials, records: list[Record]) -> dict[str, dict[str, Settings]]:
    """Return, by task and model, the settings of the trial with the best validation accuracy, the first of equals.

    A task that the search names in ``same_as`` gets those of its counterpart.
    """
    best: dict[tuple[str, str], tuple[float, int, Job]] = {}
    for record in records:
        if record.scores is None:
            continue
        place = (record.job.task.name, record.job.model.name)
        rank = (record.scores.val_accuracy, -trials.numbers[record.key])
        if place not in best or rank > best[place][:2]:
            best[place] = (*rank, record.job)
    found: dict[str, dict[str, Settings]] = {}
    for (task, model), (_, _, job) in best.items():
        origin = f"{suite.name}.trials.csv, {task}"
        training = job.training.model_dump(include=set(Settings.model_fields) - {"origin", "hyper"})
        found.setdefault(task, {})[model] = Settings(origin=origin, hyper=job.model.hyper, **training)
    for task, twin in search_of(suite).same_as.items():
        if twin in found:
            found[task] = found[twin]
    return found


def trials_csv(trials: Trials, records: list[Record]) -> str:
    """Return the trials as CSV, in the order of tasks, models and numbers."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(TRIAL_COLUMNS)
    for record in sorted(records, key=lambda r: (r.job.task.name, r.job.model.name, trials.numbers[r.key])):
        scores = record.scores
        accuracy, step = (f"{scores.val_accuracy:.4f}", scores.best_step) if scores else ("", "")
        words = json.dumps(_changed(record.job), sort_keys=True, allow_nan=False)
        number = trials.numbers[record.key]
        table.writerow([record.job.task.name, record.job.model.name, number, record.status, accuracy, step, words])
    return text.getvalue()


def settings_toml(settings: dict[str, dict[str, Settings]]) -> str:
    """Return settings as the TOML tables that a suite holds."""
    lines: list[str] = []
    for task, models in settings.items():
        for model, chosen in models.items():
            lines += [f"[settings.{task}.{model}]"]
            named = chosen.model_dump(exclude_defaults=True, exclude={"hyper"})
            named |= {"optimizer": chosen.optimizer, "learning_rate": chosen.learning_rate}
            lines += [f"{name} = {_toml(value)}" for name, value in named.items()]
            if chosen.hyper:
                lines.append("hyper = { " + ", ".join(f"{k} = {_toml(v)}" for k, v in chosen.hyper.items()) + " }")
            lines.append("")
    return "\n".join(lines)


def write_outcome(
    folder: Path, name: str, suite: SuiteSpec, trials: Trials, records: list[Record]
) -> tuple[Path, Path]:
    """Write the trials and the settings they lead to, as ``<name>.trials.csv`` and ``.settings.toml``."""
    table, settings = folder / f"{name}.trials.csv", folder / f"{name}.settings.toml"
    table.write_text(trials_csv(trials, records), encoding="utf-8")
    settings.write_text(settings_toml(best_settings(suite, trials, records)), encoding="utf-8")
    return table, settings


def _trial(job: Job, settings: Settings, search: Search, budget: Budget) -> Job:
    training = training_settings(budget, settings)
    steps = max(1, round(search.rungs[-1] * job.training.max_steps))
    training |= {"max_steps": steps, "validate_every": min(job.training.validate_every, steps)}
    value = job.model_dump()
    value["model"]["hyper"] = settings.hyper
    value["training"] |= training
    value |= {"budget": f"trials-{steps}-steps", "settings": settings.origin}
    return Job.model_validate(value | {"tested": False, "seed": search.seed})


def _changed(job: Job) -> dict[str, Plain]:
    names = set(Settings.model_fields) - {"origin", "hyper"}
    training = job.training.model_dump(include=names, exclude_defaults=True)
    return {
        "optimizer": job.training.optimizer,
        "learning_rate": job.training.learning_rate,
        **training,
        **job.model.hyper,
    }


def _toml(value: Plain) -> str:
    """Return a value as TOML has it, which is as JSON has it for those of suites."""
    return json.dumps(value, allow_nan=False)
