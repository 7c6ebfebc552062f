"""Turn a suite into jobs: a pure function of the suite, the request and the code of the models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asrnn.errors import UnknownNameError, UsageError
from asrnn.registry import MODEL_VERSION, ModelSource, find_model, import_roots, list_models
from asrnn.sources.adapters import may_be_a_layer
from asrnn.sources.signatures import STACK_ARGUMENTS, cell_arguments
from asrnn_bench.files.validation import first_fault
from asrnn_bench.planning.settings import Scheduled, Settings
from asrnn_bench.planning.spec import NOT_RECURRENT, Budget, SuiteSpec
from asrnn_bench.records.job import Job, ModelConfig, TaskConfig, TrainingConfig
from asrnn_data.tasks import Task, find_task

UNTUNED = Settings(origin="default")
"""The settings of a model for which the suite has none on a task."""


@dataclass(frozen=True)
class Request:
    """The part of a suite that a run asks for.

    Args:
        budget: the name of a budget; by default the suite's default one.
        models: the models; empty means all of the suite's.
        tasks: the tasks; empty means all of the suite's.
        seeds: the seeds; empty means all of the budget's.
        max_steps: the number of optimiser steps of every job, in place of the budget's.
        threads: the threads of each job.
        of_search: whether the jobs are trials of the suite's search. Only trials may have the seed of the search.
    """

    budget: str | None = None
    models: Sequence[str] = ()
    tasks: Sequence[str] = ()
    seeds: Sequence[int] = ()
    max_steps: int | None = None
    threads: int = 1
    of_search: bool = False

    def __post_init__(self) -> None:
        for name, value in {"threads": self.threads, "max_steps": self.max_steps}.items():
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if any(not isinstance(seed, int) or seed < 0 for seed in self.seeds):
            raise UsageError(f"seeds must be whole numbers of at least 0, not {list(self.seeds)}")


@dataclass(frozen=True)
class Plan:
    """The jobs of a run.

    Args:
        suite: the suite that they are of.
        budget: the name of their budget.
        jobs: the jobs, in the order in which they start.
        files: the file that defines a model, by the model's name; it is copied into the directories of its jobs.
        import_roots: the folders from which the models' modules and the local modules that they use are imported.
    """

    suite: SuiteSpec
    budget: str
    jobs: list[Job]
    files: dict[str, Path] = field(default_factory=dict)
    import_roots: tuple[Path, ...] = ()


def make_plan(suite: SuiteSpec, request: Request) -> Plan:
    """Return the jobs of ``suite`` that ``request`` asks for: seed by seed, task by task, the user's own models first.

    Raises:
        UsageError: a name is unknown (the message has the nearest one), or no job can have a name or a number.
    """
    try:
        return _plan(suite, request)
    except ValidationError as error:
        raise UsageError(f"suite {suite.name}: {first_fault(error, Job)}") from error


def _plan(suite: SuiteSpec, request: Request) -> Plan:
    if suite.search is not None and suite.search.seed in request.seeds and not request.of_search:
        raise UsageError(
            f"seed {suite.search.seed} is the seed of the trials that chose the settings of {suite.name}; take another"
        )
    budget_name, budget = suite.budget(request.budget)
    if request.max_steps is not None:
        budget_name = f"{budget_name}-{request.max_steps}-steps"
    tasks = [_task(suite, name) for name in dict.fromkeys(request.tasks or suite.tasks)]
    names = [name for name in request.models or budget.models or suite.models if name not in NOT_RECURRENT]
    sources = list(dict.fromkeys(_find(suite, name) for name in names))
    _check_names_differ(sources)
    _check_names_of_settings(suite, [source.name for source in sources])
    sources.sort(key=lambda source: source.origin == "built-in" or source.name in suite.names)
    rows = [  # the arguments that all seeds of a task and a model share
        {
            "suite": suite.name,
            "suite_version": suite.version,
            "budget": budget_name,
            "task": config,
            "model": model,
            "training": _training(budget, config.name, settings, request.max_steps),
            "settings": settings.origin,
            "threads": request.threads,
        }
        for config in (_task_config(suite, budget, task) for task in tasks)
        for model in _models(suite, budget, config.name, sources)
        for settings in [_settings(suite, config.name, model.name)]
    ]
    jobs = [Job(**row, seed=seed) for seed in dict.fromkeys(request.seeds or budget.seeds) for row in rows]
    files = {source.name: Path(source.target.rpartition(":")[0]) for source in sources if source.origin == "file"}
    roots = dict.fromkeys(root for source in sources for root in import_roots(source))
    return Plan(suite, budget_name, jobs, files, tuple(roots))


def _find(suite: SuiteSpec, name: str) -> ModelSource:
    """Return a model by the name of a row of the suite, or by any name under which models are found."""
    if name in suite.rows:
        return replace(find_model(suite.rows[name].model), name=name)
    try:
        return find_model(name)
    except UnknownNameError as error:
        raise UnknownNameError("model", name, (*error.known, *suite.rows)) from error


def _task(suite: SuiteSpec, name: str) -> Task:
    if name not in suite.tasks:
        raise UnknownNameError(f"task of suite {suite.name}", name, suite.tasks)
    return find_task(name)


def _task_config(suite: SuiteSpec, budget: Budget, task: Task) -> TaskConfig:
    images = next((budget.images[name] for name in task.image_sets if name in budget.images), None)
    chosen = task.choices(**suite.variants.get(task.name, {}))
    assets = task.assets(images, **chosen)
    image_set = task.image_set(images)
    return TaskConfig(
        name=task.name,
        version=task.version,
        images=image_set.name,
        variants=chosen,
        sequence_length=task.sequence_length,
        scaling=image_set.scaling,
        assets=assets,
    )


def _settings(suite: SuiteSpec, task: str, model: str) -> Settings:
    return suite.settings.get(task, {}).get(model, UNTUNED)


def _training(budget: Budget, task: str, settings: Settings, max_steps: int | None) -> TrainingConfig:
    own = budget.tasks.get(task)
    steps = max_steps or (own and own.max_steps) or budget.max_steps
    every = (own and own.validate_every) or budget.validate_every
    return TrainingConfig(
        **training_settings(budget, settings),
        batch_size=budget.batch_size,
        max_steps=steps,
        validate_every=min(every, steps),
    )


def training_settings(budget: Budget, settings: Settings) -> dict[str, Any]:
    """Return the fields of a training that settings give; the budget's schedule holds where they name none."""
    chosen = settings if settings.schedule is not None else budget
    schedule = {name: getattr(chosen, name) for name in Scheduled.model_fields}
    return {
        **settings.model_dump(exclude={"origin", "hyper"}),
        **schedule,
        "schedule": chosen.schedule or "constant",
    }


def _models(suite: SuiteSpec, budget: Budget, task: str, sources: Sequence[ModelSource]) -> list[ModelConfig]:
    return [*map(_not_recurrent, NOT_RECURRENT), *(_model(suite, budget, task, source) for source in sources)]


def _model(suite: SuiteSpec, budget: Budget, task: str, source: ModelSource) -> ModelConfig:
    own = budget.tasks.get(task)
    target = source.target
    if source.origin == "file":
        path, _, name = target.rpartition(":")
        target = f"{Path(path).name}:{name}"
    hyper = _settings(suite, task, source.name).hyper
    if source.origin == "built-in" and hyper:
        _check_hyper(suite, source, hyper)
    return ModelConfig(
        name=source.name,
        origin=source.origin,
        target=target,
        code=dict(source.code),
        hidden_size=(own.hidden_size.get(source.name) if own else None) or budget.hidden_size,
        hyper=hyper,
        assembly=MODEL_VERSION,
    )


def _check_hyper(suite: SuiteSpec, source: ModelSource, hyper: Iterable[str]) -> None:
    """Refuse a hyper-parameter that a built-in cell does not have; other models are checked before their jobs start."""
    known = {*cell_arguments(source.target), *STACK_ARGUMENTS}
    for name in hyper:
        if name not in known:
            raise UnknownNameError(f"hyper-parameter of {source.name} in suite {suite.name}", name, known)


def _not_recurrent(name: str) -> ModelConfig:
    target = f"asrnn_bench.running.not_recurrent:{name}"
    return ModelConfig(
        name=name, origin="not-recurrent", target=target, code={"version": NOT_RECURRENT[name]}, hidden_size=None
    )


def _check_names_of_settings(suite: SuiteSpec, models: list[str]) -> None:
    """Refuse settings for a misspelt name of one of the models, which nothing would use."""
    named = {name for settings in suite.settings.values() for name in settings}
    known = {*suite.names, *NOT_RECURRENT, *list_models(), *filter(may_be_a_layer, named)}
    for model in models:
        near = [] if model in named else get_close_matches(model, named - known, n=1, cutoff=0.8)
        if near:
            raise UsageError(f"suite {suite.name} has settings for '{near[0]}' but not for '{model}'; correct the name")


def _check_names_differ(sources: list[ModelSource]) -> None:
    """Refuse two models of one name, which would share job directories and rows of the leaderboard."""
    seen: dict[str, str] = {}
    for source in sources:
        if source.name in seen or source.name in NOT_RECURRENT:
            other = seen.get(source.name, "a row that every task has")
            raise UsageError(f"two models are called '{source.name}': {other} and {source.target}; rename a class")
        seen[source.name] = source.target
