"""Suites as data: TOML read strictly into pydantic models."""

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from asrnn.errors import UnknownNameError, UsageError

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Plain = float | int | str | bool


class Strict(BaseModel):
    """Immutable; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskBudget(Strict):
    """What one task changes in a budget: its steps, and hidden sizes by model."""

    max_steps: int | None = Field(default=None, gt=0)
    validate_every: int | None = Field(default=None, gt=0)
    hidden_size: dict[Slug, int] = {}


class Budget(Strict):
    """How long every job trains, in optimiser steps, and on what.

    ``images`` maps a full image set (``mnist``, ``cifar10``) to the one that this budget takes in its place.
    """

    summary: str
    max_steps: int = Field(gt=0)
    validate_every: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    images: dict[Slug, str] = {}
    tasks: dict[Slug, TaskBudget] = {}


class Settings(Strict):
    """A model's hyper-parameters on a task: those of its training, and in ``hyper`` those of its cell."""

    origin: str
    optimizer: Literal["sgd", "adagrad", "adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    hyper: dict[str, Plain] = {}


class Search(Strict):
    """How hyper-parameters were found: the same number of trials for every model, each drawn from its space."""

    trials: int = Field(gt=0)
    max_steps: int = Field(gt=0)
    validate_every: int = Field(gt=0)
    seed: int = 0
    budget: str
    tasks: list[Slug]
    same_as: dict[Slug, Slug] = {}
    space: dict[Slug, dict[str, list[Plain]]]


class SuiteSpec(Strict):
    """A versioned list of tasks, models, seeds and budgets; a changed protocol is a new version, never an edit."""

    name: Slug
    version: int = Field(gt=0)
    summary: str
    tasks: list[Slug] = Field(min_length=1)
    models: list[Slug] = Field(min_length=1)
    variants: dict[Slug, dict[str, str]] = {}
    budgets: dict[Slug, Budget] = Field(min_length=1)
    default_budget: Slug = "quick"
    full_budget: Slug = "paper"
    settings: dict[Slug, dict[Slug, Settings]] = {}
    search: Search | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> "SuiteSpec":
        for field in (self.default_budget, self.full_budget):
            if field not in self.budgets:
                raise ValueError(f"there is no budget '{field}' in [budgets]")
        strangers = set(self.settings) | set(self.variants) | {t for b in self.budgets.values() for t in b.tasks}
        for task in sorted(strangers - set(self.tasks)):
            raise ValueError(f"'{task}' has a table of its own but is not in tasks = [...]")
        return self

    def budget(self, name: str | None) -> tuple[str, Budget]:
        """Return the budget called ``name`` (by default the suite's default one) with its name."""
        chosen = name or self.default_budget
        if chosen not in self.budgets:
            raise UnknownNameError("budget", chosen, self.budgets)
        return chosen, self.budgets[chosen]


def shipped_suites() -> dict[str, Path]:
    """Return the suites that come with the package, by name."""
    folder = Path(str(files("asrnn_bench") / "planning" / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_suite(name_or_file: str) -> SuiteSpec:
    """Return a suite by the name of a shipped one or by the path of a TOML file.

    Raises:
        UsageError: in one line, what is wrong with the file and the near match of an unknown key.
    """
    shipped = shipped_suites()
    if name_or_file in shipped:
        path = shipped[name_or_file]
    elif name_or_file.endswith(".toml"):
        path = Path(name_or_file)
    else:
        raise UnknownNameError("suite", name_or_file, shipped)
    try:
        return SuiteSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"cannot read suite file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    """Say in one line what the first fault is, and how many more there are."""
    faults = error.errors(include_url=False)
    # A mistyped key is at once unknown and missing; that it is unknown says more.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"unknown key '{place}'{_near_key(first['loc'])}"
    elif first["type"] == "missing":
        text = f"the key '{place}' is missing"
    else:
        found = "" if isinstance(first["input"], dict) else f" (found {first['input']!r})"
        text = f"{place + ': ' if place else ''}{first['msg']}{found}"
    return text + (f"; and {len(faults) - 1} more" if len(faults) > 1 else "")


def _near_key(location: tuple[int | str, ...]) -> str:
    """Find the key that was probably meant, by walking the models along the location of the fault."""
    fields: dict[str, Any] = dict(SuiteSpec.model_fields)
    for part in location[:-1]:
        model = next((m for m in _models_in(fields[part].annotation)), None) if part in fields else None
        fields = dict(model.model_fields) if model else fields
    near = get_close_matches(str(location[-1]), list(fields), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else f"; the keys here are: {', '.join(fields)}"


def _models_in(annotation: Any) -> list[type[Strict]]:
    """Return the models that a field's annotation holds, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
