"""Define jobs and records: the two schemas that every floor of the benchmark reads and writes."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from asrnn_bench.bits import count_true, unpack
from asrnn_bench.plain_text import plain
from asrnn_bench.written import digest, file_text

SCHEMA_VERSION = 5
"""Of records. From schema 3 on one holds the digest of all that it says, from schema 4 on the CPU time of a step, from
schema 5 on which test samples were classified rightly and where the selected weights are."""

READABLE_SCHEMAS = (1, 2, 3, 4, 5)

NEW_IN_SCHEMA: Final = {
    4: (("cost", "step_cpu_seconds"),),
    5: (("scores", "test_bits"), ("scores", "test_order"), (None, "weights")),
}
"""What a record of an older schema has not, and must not have when it is written again."""

JOB_SCHEMA: Final = 3
"""Of jobs, in whose keys it is: a new one would make every result that there is one of another job."""

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
"""What a job of an older schema has not, and must not have when it is written again: its key is the digest of what it
has."""

LARGEST_NUMBER = 2**63 - 1
"""Of whole numbers: what tables can hold."""

ScheduleName = Literal["constant", "cosine", "steps"]

Status = Literal["done", "diverged", "failed", "no-data"]

Loss = Literal["failed", "no-data"]
"""The statuses of a job that came to no result."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name that is safe as a part of a path, in TOML, in CSV and on the command line."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Size = Annotated[int, Field(gt=0, le=LARGEST_NUMBER)]
Amount = Annotated[float, Field(ge=0, le=1e15)]


class Frozen(BaseModel):
    """Immutable, and strict about its keys: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskConfig(Frozen):
    """A task as a job sees it: which images, which variants, and the digest of every protocol asset in use.

    ``sequence_length`` is T, and ``scaling`` names the asset that turns bytes into numbers; jobs of schemas 1 and 2 say
    neither.
    """

    name: Slug
    version: Count
    images: Slug
    variants: dict[str, str] = {}
    sequence_length: Size | None = None
    scaling: Slug | None = None
    assets: dict[str, str]


class ModelConfig(Frozen):
    """A model as a job sees it: where its code is, what identifies that code, and its hyper-parameters.

    ``target`` is ``module:Class``, or ``file.py:Class`` for a file that travels in the job directory. ``assembly``
    is the version of how a model is put together from its cell, in stacks and with a readout.
    """

    name: Slug
    origin: Literal["built-in", "file", "module", "entry-point", "not-recurrent"]
    target: Annotated[str, StringConstraints(pattern=r"^[^/\\:]+:[\w.-]+$")]
    code: dict[str, str | int]
    hidden_size: Size | None
    hyper: dict[str, float | int | str | bool] = {}
    assembly: Count = 1


class TrainingConfig(Frozen):
    """How a job trains: optimiser, budget in optimiser steps, and the interval of its validations in steps.

    ``schedule`` is that of the learning rate over ``max_steps``: ``steps`` multiplies it by ``schedule_factor`` after
    each of ``schedule_steps``. A job with a ``rung`` is a trial that pauses there: it trains as the whole job does, and
    ends after ``rung`` steps with a validation.
    """

    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] = "adam"
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
        """After how many optimiser steps the job ends."""
        return self.max_steps if self.rung is None else self.rung


def check_schedule(schedule: str | None, steps: list[int], factor: float | None) -> None:
    """Refuse a schedule whose parts do not belong together.

    Raises:
        ValueError: ``steps`` lacks its steps or factor, another schedule has one, or the steps do not grow.
    """
    if schedule == "steps" and (not steps or factor is None):
        raise ValueError("schedule 'steps' needs schedule_steps and schedule_factor")
    if schedule != "steps" and (steps or factor is not None):
        raise ValueError("schedule_steps and schedule_factor belong to schedule 'steps'")
    if any(second <= first for first, second in pairwise(steps)):
        raise ValueError("schedule_steps must grow from each to the next")


class Job(Frozen):
    """One training, as pure data; its digest is its identity, so it holds no path, device or launcher.

    ``settings`` says where the hyper-parameters came from; it is for people and not part of the identity. ``tested``
    is false for the trials of a search, which see the validation set alone.
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
        """Return a copy, with other values for some fields; its digests are computed anew."""
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
        """The key of the job without its rung, to which checkpoints belong: the job of the next rung goes on from them.

        It is the job's own where it has no rung.
        """
        if self.training.rung is None:
            return self.key
        training = self.training.model_copy(update={"rung": None})
        return self.model_copy(update={"training": training}).key

    @cached_property
    def config(self) -> str:
        """The identity of all that seeds of one leaderboard row share, as 12 hexadecimal digits."""
        return digest(self.model_dump(mode="json", exclude={"seed", "settings"}))[:12]

    @property
    def label(self) -> str:
        """The job in words, for people."""
        last = f"seed {self.seed}" if self.tested else self.settings
        return f"{self.task.name} / {self.model.name} / {last}"


class CurvePoint(Frozen):
    """One validation on the way: after how many optimiser steps, and what it said."""

    step: Count
    train_loss: float | None
    val_accuracy: Share
    val_loss: float | None


class Scores(Frozen):
    """Accuracies in [0, 1]; the test ones belong to the weights that validation selected, and were taken once.

    ``test_bits`` has a bit for each test sample, whether it was classified rightly, as :func:`asrnn_bench.bits.pack`
    packs them. ``test_order`` is the digest of which samples these are, in which order: two records with the same one
    can be compared sample by sample.
    """

    best_step: Count
    val_accuracy: Share
    val_samples: Size
    test_accuracy: Share | None = None
    test_loss: float | None = None
    test_samples: Count = 0
    test_bits: Annotated[str, StringConstraints(max_length=1 << 24)] | None = None
    test_order: Sha256 | None = None

    @model_validator(mode="after")
    def _bits_and_accuracy_agree(self) -> Self:
        if (self.test_bits is None) != (self.test_order is None):
            raise ValueError("test_bits and test_order come together")
        if self.test_bits is not None and self.test_accuracy is not None:
            count = count_true(self.test_bits, self.test_samples)
            if count != round(self.test_accuracy * self.test_samples):
                raise ValueError(f"test_bits count {count} samples classified rightly, unlike test_accuracy")
        return self

    @property
    def correct(self) -> list[bool] | None:
        """Whether each test sample was classified rightly, in the order of ``test_order``, where the record says it."""
        return None if self.test_bits is None else unpack(self.test_bits, self.test_samples)


class Cost(Frozen):
    """What the training took: seconds, MiB, parameters (degrees of freedom).

    A step takes ``step_seconds`` on the clock; ``step_cpu_seconds`` is the processor time of its process, all threads.
    """

    step_seconds: Amount | None
    step_cpu_seconds: Amount | None = None
    train_seconds: Amount
    peak_memory_mib: Amount
    parameters_recurrent: Count
    parameters_total: Count


class Weights(Frozen):
    """The selected weights: a file of the job directory (safetensors), and its sha256."""

    file: Annotated[str, StringConstraints(pattern=r"^attempts/\d{3,9}/weights\.safetensors$")]
    sha256: Sha256


class Record(Frozen):
    """The immutable result of a job.

    A job that did not come to a result has one too, made by the runner: ``failed`` or ``no-data``, with the reason.
    """

    schema_version: int = SCHEMA_VERSION
    key: str
    job: Job
    status: Status
    reason: str | None = None
    attempt: Count | None = None
    scores: Scores | None = None
    curve: list[CurvePoint] = []
    cost: Cost | None = None
    weights: Weights | None = None
    scan_backend: str | None = None
    environment: dict[str, str | int | float | bool | None] = {}

    @model_serializer(mode="wrap")
    def _as_its_schema_has_it(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = serialize(self)
        for schema, new in NEW_IN_SCHEMA.items():
            for part, name in new if self.schema_version < schema else ():
                ((value.get(part) if part else value) or {}).pop(name, None)
        return value

    @model_validator(mode="after")
    def _status_and_scores_agree(self) -> Self:
        if (self.scores is not None) != (self.status == "done"):
            raise ValueError("a record has scores if and only if its job is done")
        if self.scores is not None and (self.scores.test_samples > 0) != self.job.tested:
            raise ValueError("a job has test samples if and only if it is tested")
        if self.scores is not None and (self.scores.test_accuracy is not None) != self.job.tested:
            raise ValueError("a job has a test accuracy if and only if it is tested")
        return self

    @property
    def test_accuracy(self) -> float | None:
        """The test accuracy, or ``None`` where the job came to none."""
        return None if self.scores is None else self.scores.test_accuracy

    @property
    def is_result(self) -> bool:
        """Whether the job came to a result; that it diverged is one."""
        return self.status in ("done", "diverged")

    @property
    def is_whole(self) -> bool:
        """Whether it holds all that this version knows of a result."""
        if self.schema_version < SCHEMA_VERSION or self.scores is None:
            return self.schema_version == SCHEMA_VERSION and self.status == "diverged"
        return self.weights is not None and (self.scores.test_bits is not None) == self.job.tested

    def holds_more(self, other: Self) -> bool:
        """Return whether this result of the same job says all that the other one says, and more.

        It must be of the same status, of no older schema, and have every number, bit and file that the other one has;
        and be of a later schema, or have one that the other one lacks. Environments do not count: where a job ran is
        no part of its result. Neither do curves, which every result has.
        """
        if not (self.is_result and self.status == other.status and self.schema_version >= other.schema_version):
            return False
        own, others = self._parts(), other._parts()
        return own >= others and (self.schema_version > other.schema_version or own > others)

    def _parts(self) -> set[str]:
        """Return the names of all that it holds."""
        whole = self.model_dump(include={"scores", "cost", "weights", "scan_backend"})
        found = {name for name, value in whole.items() if value is not None}
        for name in ("scores", "cost"):
            found |= {f"{name}.{part}" for part, value in (whole[name] or {}).items() if value is not None}
        return found

    def text(self) -> str:
        """Return the record as it is written to disk: indented JSON with sorted keys and a last line break."""
        return file_text(self.model_dump(mode="json"), with_digest=self.schema_version >= 3)


def without_result(job: Job, status: Loss, reason: str) -> Record:
    """Return the record of a job that came to no result, with the reason."""
    return Record(key=job.key, job=job, status=status, reason=plain(reason))
