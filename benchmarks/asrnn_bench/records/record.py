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
"""The schema of new records. Schema 3 added the digest of the record, schema 4 the CPU time of a step, schema 5 the
correctness of each test sample and the file of the selected weights.

To add a field: give it a default, raise this number, and name the field in ``NEW_IN_SCHEMA``.
"""

READABLE_SCHEMAS = tuple(range(1, SCHEMA_VERSION + 1))

NEW_IN_SCHEMA: Final = {
    4: (("cost", "step_cpu_seconds"),),
    5: (("scores", "test_bits"), ("scores", "test_order"), (None, "weights")),
}
"""The fields that each schema added. A record of an older schema is written without them."""


Status = Literal["done", "diverged", "failed", "no-data"]

Loss = Literal["failed", "no-data"]
"""The statuses of a job that has no result."""


class CurvePoint(Frozen):
    """One validation during the training: the optimiser step, and the losses and the accuracy there."""

    step: Count
    train_loss: float | None
    val_accuracy: Share
    val_loss: float | None


class Scores(Frozen):
    """The accuracies of a job, in [0, 1]. The weights with the best validation were tested, once.

    ``test_bits`` has a bit for each test sample, which is 1 where it was classified correctly, packed by
    :func:`asrnn_bench.records.bits.pack`. ``test_order`` is a digest of the samples and their order: two records with
    the same ``test_order`` can be compared sample by sample.
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
        """Whether each test sample was classified correctly; ``None`` where the record does not say it."""
        return None if self.test_bits is None else unpack(self.test_bits, self.test_samples)


class Cost(Frozen):
    """The cost of the training in seconds and MiB, and the parameters of the model (degrees of freedom).

    ``step_seconds`` is the time of a step on the clock, ``step_cpu_seconds`` its processor time over all threads of the
    process.
    """

    step_seconds: Amount | None
    step_cpu_seconds: Amount | None = None
    train_seconds: Amount
    peak_memory_mib: Amount
    parameters_recurrent: Count
    parameters_total: Count


class Weights(Frozen):
    """The file of the selected weights in the job directory (safetensors), and its sha256."""

    file: Annotated[str, StringConstraints(pattern=r"^attempts/\d{3,9}/weights\.safetensors$")]
    sha256: Sha256


class Record(Frozen):
    """The immutable result of a job.

    For a job without a result the runner makes a record of status ``failed`` or ``no-data``, with the reason.
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
        """The test accuracy, or ``None`` where the job has none."""
        return None if self.scores is None else self.scores.test_accuracy

    @property
    def is_result(self) -> bool:
        """Whether the job has a result. A divergence is a result."""
        return self.status in ("done", "diverged")

    @property
    def is_whole(self) -> bool:
        """Whether the record has every field that this version writes for a result."""
        if self.schema_version < SCHEMA_VERSION or self.scores is None:
            return self.schema_version == SCHEMA_VERSION and self.status == "diverged"
        return self.weights is not None and (self.scores.test_bits is not None) == self.job.tested

    def holds_more(self, other: Self) -> bool:
        """Return whether this result has everything that another result of the same job has, and more.

        It must have the same status, no older schema, and every field of the scores, the cost and the weights that the
        other has. It must also have a later schema, or a field that the other lacks. Environments do not count, as a
        result does not depend on where the job ran. Curves do not count either, as every result has one.
        """
        if not (self.is_result and self.status == other.status and self.schema_version >= other.schema_version):
            return False
        own, others = self._parts(), other._parts()
        return own >= others and (self.schema_version > other.schema_version or own > others)

    def _parts(self) -> set[str]:
        """Return the names of the fields that have a value."""
        whole = self.model_dump(include={"scores", "cost", "weights", "scan_backend"})
        found = {name for name, value in whole.items() if value is not None}
        for name in ("scores", "cost"):
            found |= {f"{name}.{part}" for part, value in (whole[name] or {}).items() if value is not None}
        return found

    def text(self) -> str:
        """Return the text of the record's file: indented JSON with sorted keys and a final line break."""
        return file_text(self.model_dump(mode="json"), with_digest=self.schema_version >= 3)


def without_result(job: Job, status: Loss, reason: str) -> Record:
    """Return the record of a job that has no result, with the reason."""
    return Record(key=job.key, job=job, status=status, reason=plain(reason))
