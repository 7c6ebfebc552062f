"""Define the content of a suite file as pydantic models."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from asrnn.errors import UnknownNameError
from asrnn.registry import list_models
from asrnn.sources.adapters import adapter_of, may_be_a_layer, name_of_layer
from asrnn_bench.files.validation import first_fault
from asrnn_bench.planning.settings import Scheduled, Settings, settings_of
from asrnn_bench.planning.space import Space, bounds
from asrnn_bench.planning.values import Plain, Reference, Strict, Words
from asrnn_bench.records.fields import Count, Size, Slug
from asrnn_data.image_sets import IMAGE_SETS
from asrnn_data.tasks import TASKS

NOT_RECURRENT = {"chance": 1, "logistic-regression": 1}
"""The baselines that every task has and that train nothing recurrent, with the version of their code."""


class TaskBudget(Strict):
    """The steps and the hidden sizes (by model) of one task, where they differ from the budget's."""

    max_steps: Size | None = None
    validate_every: Size | None = None
    hidden_size: dict[Slug, Size] = {}


class Budget(Scheduled):
    """The size of every training of a suite: optimiser steps, batches, hidden units, seeds and images.

    ``images`` maps a full image set (``mnist``, ``cifar10``) to the one that replaces it in this budget. The budget's
    schedule holds for all settings that name none; without one the learning rate is constant. ``models`` are the models
    that a run trains by default; empty means all of the suite's.
    """

    summary: Words
    max_steps: Size
    validate_every: Size
    batch_size: Size
    hidden_size: Size
    seeds: list[Count] = Field(min_length=1)
    models: list[Reference] = []
    images: dict[Slug, Slug] = {}
    tasks: dict[Slug, TaskBudget] = {}


class Row(Strict):
    """A model under a second name, so that a suite can hold it twice, with two sizes or two settings."""

    model: Reference


class Search(Strict):
    """The search for hyper-parameters: the same number of trials for every model, by successive halving.

    ``rungs`` are shares of a training's steps. At each rung the best third of the trials by validation continues.
    ``published`` holds settings that replace the first trial of a model on a task. A model without a space uses the
    space ``default``.
    """

    trials: Size
    rungs: list[float] = Field(default=[0.25, 0.5, 1.0], min_length=1)
    seed: Count = 1000
    budget: str
    tasks: list[Slug] = Field(min_length=1)
    same_as: dict[Slug, Slug] = {}
    published: dict[Slug, dict[Slug, Settings]] = {}
    space: dict[Slug, Space]

    @field_validator("rungs")
    @classmethod
    def _shares_grow(cls, rungs: list[float]) -> list[float]:
        if rungs[0] <= 0 or rungs[-1] > 1 or any(later <= earlier for earlier, later in pairwise(rungs)):
            raise ValueError("rungs are growing shares of a training's steps, at most 1, such as [0.25, 0.5, 1.0]")
        return rungs

    @field_validator("space")
    @classmethod
    def _holds_settings(cls, space: dict[str, Space]) -> dict[str, Space]:
        """Refuse a space with a value that no settings can have."""
        for model, axes in space.items():
            optimizers = bounds(axes["optimizer"]) if "optimizer" in axes else ["adam"]
            for name, axis in axes.items():
                if isinstance(axis, dict) and (name == "optimizer" or set(axis) != set(optimizers)):
                    words = f"{model}.{name} has an axis for {', '.join(axis)}; the optimizers of this space are"
                    raise ValueError(f"{words} {', '.join(map(str, optimizers))}")
                for value in bounds(axis):
                    _check_value(model, name, value)
        return space


def _check_value(model: str, name: str, value: Plain) -> None:
    """Refuse a value of a search space that no settings can have."""
    if name in ("origin", "hyper", "schedule_steps"):
        raise ValueError(f"{model}.{name} is not a setting that can be searched; remove it")
    try:
        settings_of({name: value}, "a trial")
    except ValidationError as error:
        raise ValueError(f"{model}.{first_fault(error, Settings)}") from error


class SuiteSpec(Strict):
    """A suite: tasks, models, budgets and settings. A changed protocol is a new version of the suite, never an edit.

    ``models`` names registered models, layers of other packages, and ``rows``. Hidden sizes, settings and search spaces
    are keyed by the name that a model has in tables, which for a row is its own.
    """

    name: Slug
    version: Size
    summary: Words
    tasks: list[Slug] = Field(min_length=1)
    models: list[Reference] = Field(min_length=1)
    rows: dict[Slug, Row] = {}
    variants: dict[Slug, dict[Slug, Slug]] = {}
    budgets: dict[Slug, Budget] = Field(min_length=1)
    default_budget: Slug
    full_budget: Slug
    settings: dict[Slug, dict[Slug, Settings]] = {}
    search: Search | None = None

    @model_validator(mode="before")
    @classmethod
    def _first_and_last_budget(cls, value: Any) -> Any:
        """Make the first budget of a file the default one and the last the full one, unless the file names them."""
        budgets = value.get("budgets") if isinstance(value, dict) else None
        if not isinstance(budgets, dict) or not budgets:
            return value
        names = list(budgets)
        return {"default_budget": names[0], "full_budget": names[-1], **value}

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        search = self.search
        budgets = [self.default_budget, self.full_budget, *([search.budget] if search else [])]
        _check_known("budget", budgets, self.budgets)
        _check_known("task", self.tasks, TASKS)
        tasks = [*self.settings, *self.variants, *(task for budget in self.budgets.values() for task in budget.tasks)]
        tasks += [*search.tasks, *search.same_as, *search.same_as.values(), *search.published] if search else []
        _check_known(f"task of suite {self.name}", tasks, self.tasks)
        for budget in self.budgets.values():
            _check_known("image set", [*budget.images, *budget.images.values()], IMAGE_SETS)
            _check_known(f"model of suite {self.name}", budget.models, self.models)
        _check_rows(self.rows, self.models)
        models = [model for settings in self.settings.values() for model in settings]
        models += [m for b in self.budgets.values() for task in b.tasks.values() for m in task.hidden_size]
        if search:
            models += [*search.space, *(model for settings in search.published.values() for model in settings)]
            _check_search_seed(search, self.budgets)
        _check_spelling(models, self.names)
        return self

    @property
    def names(self) -> list[str]:
        """The names of the suite's models in tables, in the suite's order."""
        return [name_of_layer(model) or model for model in self.models]

    def budget(self, name: str | None) -> tuple[str, Budget]:
        """Return a budget by name, with its name; by default the suite's default one."""
        chosen = name or self.default_budget
        if chosen not in self.budgets:
            raise UnknownNameError("budget", chosen, self.budgets)
        return chosen, self.budgets[chosen]


def _check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones; the message has the nearest known one."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(str(UnknownNameError(kind, name, known)))


def _check_search_seed(search: Search, budgets: dict[str, Budget]) -> None:
    """Refuse a search whose seed is also a seed of a budget: its settings would be chosen for that seed's luck."""
    for name, budget in budgets.items():
        if search.seed in budget.seeds:
            raise ValueError(f"search.seed is {search.seed}, which is a seed of budget {name} too; choose another one")


def _check_rows(rows: dict[str, Row], models: list[str]) -> None:
    """Refuse a row that is not among the suite's models, has another model's name, or names an unknown model."""
    registered = [*list_models(), *NOT_RECURRENT] if rows else []
    for name, row in rows.items():
        if name in registered or adapter_of(name) is not None:
            raise ValueError(f"rows.{name}: a model is called '{name}' already; give the row another name")
        if name not in models:
            near = get_close_matches(name, models, n=1, cutoff=0.5)
            hint = f", which has '{near[0]}'" if near else ""
            raise ValueError(f"rows.{name}: it is not in models{hint}; list it there, or remove the row")
        if row.model in NOT_RECURRENT:
            raise ValueError(f"rows.{name}: every task has the row '{row.model}' already; remove this one")
        if name_of_layer(row.model) is None and adapter_of(row.model) is None and row.model not in registered:
            raise ValueError(f"rows.{name}: {UnknownNameError('model', row.model, registered)}")


def _check_spelling(names: Iterable[str], models: list[str]) -> None:
    """Refuse an unknown model whose name is almost the name of a known one.

    Other unknown names are allowed, as they may be a user's own models, which only a run names.
    """
    known = {*models, *list_models(), *NOT_RECURRENT, "default"}
    for name in names:
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and near and not may_be_a_layer(name):
            raise ValueError(f"no model is called '{name}'; did you mean '{near[0]}'?")
