"""What a job is and what comes of it: the two schemas that every floor of the benchmark reads and writes."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Status = Literal["done", "diverged", "failed", "no-data"]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """Return the sha256 of the canonical JSON of ``value``, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Frozen(BaseModel):
    """Immutable, and strict about its keys: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskConfig(Frozen):
    """A task as a job sees it: which images, which variants, and the digest of every protocol asset in use."""

    name: str
    version: int
    images: str
    variants: dict[str, str] = {}
    assets: dict[str, str]


class ModelConfig(Frozen):
    """A model as a job sees it: where its code is, what identifies that code, and its hyper-parameters.

    ``target`` is ``module:Class``, or ``file.py:Class`` for a file that travels in the job directory.
    """

    name: str
    origin: Literal["built-in", "file", "module", "entry-point", "not-recurrent"]
    target: str
    code: dict[str, str | int]
    hidden_size: int | None
    hyper: dict[str, float | int | str | bool] = {}


class TrainingConfig(Frozen):
    """How a job trains: optimiser, budget in optimiser steps, and the interval of its validations in steps."""

    optimizer: Literal["sgd", "adagrad", "adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    batch_size: int = Field(gt=0)
    max_steps: int = Field(gt=0)
    validate_every: int = Field(gt=0)


class Job(Frozen):
    """One training, as pure data; its digest is its identity, so it holds no path, device or launcher.

    ``settings`` says where the hyper-parameters came from; it is for people and not part of the identity. ``tested``
    is false for the trials of a search, which see the validation set alone.
    """

    schema_version: int = SCHEMA_VERSION
    suite: str
    suite_version: int
    budget: str
    task: TaskConfig
    model: ModelConfig
    training: TrainingConfig
    settings: str
    tested: bool = True
    seed: int = Field(ge=0)
    threads: int = Field(gt=0)

    @property
    def key(self) -> str:
        """The job's identity: the sha256 of its canonical JSON."""
        return digest(self.model_dump(mode="json", exclude={"settings"}))

    @property
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

    step: int
    train_loss: float | None
    val_accuracy: float
    val_loss: float | None


class Scores(Frozen):
    """Accuracies in [0, 1]; the test ones belong to the weights that validation selected, and were taken once."""

    best_step: int
    val_accuracy: float
    val_samples: int
    test_accuracy: float | None = None
    test_loss: float | None = None
    test_samples: int = 0


class Cost(Frozen):
    """What the training took: seconds, MiB, parameters (degrees of freedom)."""

    step_seconds: float | None
    train_seconds: float
    peak_memory_mib: float
    parameters_recurrent: int
    parameters_total: int


class Record(Frozen):
    """The immutable result of a job.

    A job that did not come to a result has one too, made by the runner: ``failed`` or ``no-data``, with the reason.
    """

    schema_version: int = SCHEMA_VERSION
    key: str
    job: Job
    status: Status
    reason: str | None = None
    attempt: int | None = None
    scores: Scores | None = None
    curve: list[CurvePoint] = []
    cost: Cost | None = None
    scan_backend: str | None = None
    environment: dict[str, str | int | float | bool | None] = {}

    @property
    def test_accuracy(self) -> float | None:
        """The test accuracy, or ``None`` where the job came to none."""
        return None if self.scores is None else self.scores.test_accuracy

    def text(self) -> str:
        """Return the record as it is written to disk: indented JSON with sorted keys and a last line break."""
        value = self.model_dump(mode="json")
        return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=True) + "\n"


def without_result(job: Job, status: Literal["failed", "no-data"], reason: str) -> Record:
    """Return the record of a job that came to no result, with the reason."""
    return Record(key=job.key, job=job, status=status, reason=reason)
