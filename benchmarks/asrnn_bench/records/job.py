"""Define the job: one training as pure data, identified by its digest."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from asrnn.optimizer_names import OptimizerName, ScheduleName
from asrnn_bench.files.canonical import digest
from asrnn_bench.records.fields import Count, Frozen, Size, Slug

JOB_SCHEMA: Final = 3
"""The schema of new jobs. It is part of a job's key, so a new schema gives every job a new key and no result."""

NEW_IN_JOB_SCHEMA: Final = {
    2: (("model", "assembly"), ("training", "structured_learning_rate")),
    3: (
        ("task", "sequence_length"),
        ("task", "scaling"),
        ("training", "schedule_steps"),
        ("training", "schedule_factor"),
        ("training", "rung"),
    ),
}
"""The fields that each schema added. A job of an older schema is written without them, as its key is the digest of what
is written."""


class TaskConfig(Frozen):
    """The task of a job: its images, its variants, and the digest of every protocol asset that it uses.

    ``sequence_length`` is T, and ``scaling`` names the asset that turns bytes into numbers; jobs of schemas 1 and 2
    have neither.
    """

    name: Slug
    version: Count
    images: Slug
    variants: dict[str, str] = {}
    sequence_length: Size | None = None
    scaling: Slug | None = None
    assets: dict[str, str]


class ModelConfig(Frozen):
    """The model of a job: where its code is, what identifies that code, and its hyper-parameters.

    ``target`` is ``module:Class``, or ``file.py:Class`` for a file that is copied into the job directory. ``assembly``
    is the version of the code that builds a model from its cell: the stack and the readout.
    """

    name: Slug
    origin: Literal["built-in", "file", "module", "entry-point", "not-recurrent"]
    target: Annotated[str, StringConstraints(pattern=r"^[^/\\:]+:[\w.-]+$")]
    code: dict[str, str | int]
    hidden_size: Size | None
    hyper: dict[str, float | int | str | bool] = {}
    assembly: Count = 1


class TrainingConfig(Frozen):
    """The training of a job: the optimiser, the number of optimiser steps, and the steps between two validations.

    ``schedule`` changes the learning rate over ``max_steps``; ``steps`` multiplies it by ``schedule_factor`` after each
    of ``schedule_steps``. A job with a ``rung`` is a trial that pauses: it trains exactly as the job without a rung,
    but ends after ``rung`` steps with a validation.
    """

    optimizer: OptimizerName = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    structured_learning_rate: float | None = Field(default=None, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    schedule: ScheduleName = "constant"
    schedule_steps: list[Size] = []
    schedule_factor: float | None = Field(default=None, gt=0, lt=1)
    batch_size: Size
    max_steps: Size
    validate_every: Size
    rung: Size | None = None

    @model_validator(mode="after")
    def _schedule_and_rung_fit(self) -> Self:
        check_schedule(self.schedule, self.schedule_steps, self.schedule_factor)
        if self.rung is not None and self.rung >= self.max_steps:
            raise ValueError(f"a rung lies below the {self.max_steps} steps of the whole training, not at {self.rung}")
        return self

    @property
    def steps(self) -> int:
        """The number of optimiser steps after which the job ends."""
        return self.max_steps if self.rung is None else self.rung


def check_schedule(schedule: str | None, steps: list[int], factor: float | None) -> None:
    """Refuse a schedule whose parts contradict each other.

    Raises:
        ValueError: the schedule ``steps`` lacks its steps or its factor, another schedule has them, or the steps do not
            grow.
    """
    if schedule == "steps" and (not steps or factor is None):
        raise ValueError("schedule 'steps' needs schedule_steps and schedule_factor")
    if schedule != "steps" and (steps or factor is not None):
        raise ValueError("schedule_steps and schedule_factor belong to schedule 'steps'")
    if any(second <= first for first, second in pairwise(steps)):
        raise ValueError("schedule_steps must grow from each to the next")


class Job(Frozen):
    """One training, as pure data. Its digest is its identity, so it holds no path, device or launcher.

    ``settings`` says where the hyper-parameters come from; it is for people and not part of the identity. ``tested``
    is false for the trials of a search, which use the validation set only.
    """

    schema_version: Literal[1, 2, 3] = JOB_SCHEMA
    suite: Slug
    suite_version: Count
    budget: Slug
    task: TaskConfig
    model: ModelConfig
    training: TrainingConfig
    settings: str
    tested: bool = True
    seed: Count
    threads: Size

    @model_serializer(mode="wrap")
    def _as_its_schema_has_it(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = serialize(self)
        for schema, new in NEW_IN_JOB_SCHEMA.items():
            for part, name in new if self.schema_version < schema else ():
                value.get(part, {}).pop(name, None)
        return value

    @model_validator(mode="after")
    def _a_trial_alone_pauses(self) -> Self:
        if self.training.rung is not None and self.tested:
            raise ValueError("a job that ends at a rung is a trial, which is not tested")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values for some fields. Its digests are computed again."""
        copy = super().model_copy(update=update, deep=deep)
        for name in ("key", "config", "whole_key"):
            copy.__dict__.pop(name, None)
        return copy

    @cached_property
    def key(self) -> str:
        """The job's identity: the sha256 of its canonical JSON."""
        return digest(self.model_dump(mode="json", exclude={"settings"}))

    @cached_property
    def whole_key(self) -> str:
        """The key of the same job without a rung; the job's own key where it has none.

        Checkpoints carry this key, so that the job of the next rung can continue from them.
        """
        if self.training.rung is None:
            return self.key
        training = self.training.model_copy(update={"rung": None})
        return self.model_copy(update={"training": training}).key

    @cached_property
    def config(self) -> str:
        """The digest of everything but the seed, as 12 hexadecimal digits; seeds of one leaderboard row share it."""
        return digest(self.model_dump(mode="json", exclude={"seed", "settings"}))[:12]

    @property
    def label(self) -> str:
        """The name of the job for people."""
        last = f"seed {self.seed}" if self.tested else self.settings
        return f"{self.task.name} / {self.model.name} / {last}"
