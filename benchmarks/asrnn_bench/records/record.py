"""Define the record: the immutable result of a job."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from asrnn_bench.files.canonical import file_text
from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.bits import count_true, unpack
from asrnn_bench.records.fields import Amount, Count, Frozen, Sha256, Share, Size
from asrnn_bench.records.job import Job

SCHEMA_VERSION = 5
"""Of records. From schema 3 on one holds the digest of all that it says, from schema 4 on the CPU time of a step, from
schema 5 on which test samples were classified rightly and where the selected weights are."""

READABLE_SCHEMAS = (1, 2, 3, 4, 5)

NEW_IN_SCHEMA: Final = {
    4: (("cost", "step_cpu_seconds"),),
    5: (("scores", "test_bits"), ("scores", "test_order"), (None, "weights")),
}
"""What a record of an older schema has not, and must not have when it is written again."""


Status = Literal["done", "diverged", "failed", "no-data"]

Loss = Literal["failed", "no-data"]
"""The statuses of a job that came to no result."""


class CurvePoint(Frozen):
    """One validation on the way: after how many optimiser steps, and what it said."""

    step: Count
    train_loss: float | None
    val_accuracy: Share
    val_loss: float | None


class Scores(Frozen):
    """Accuracies in [0, 1]; the test ones belong to the weights that validation selected, and were taken once.

    ``test_bits`` has a bit for each test sample, whether it was classified rightly, as
    :func:`asrnn_bench.records.bits.pack` packs them. ``test_order`` is the digest of which samples these are, in which
    order: two records with the same one can be compared sample by sample.
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
