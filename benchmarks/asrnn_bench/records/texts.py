"""Jobs and records as texts: what is read is what was written, whoever wrote or copied it since."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations
from typing import Any

from asrnn_bench.files.canonical import Schema, file_text, read_as, read_object
from asrnn_bench.files.plain_text import brief
from asrnn_bench.files.reading import UnreadableError
from asrnn_bench.records.fields import LARGEST_NUMBER
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import READABLE_SCHEMAS, Record

MOST_WHOLE_NUMBERS = 6
"""Of a model's hyper-parameters that may have been written with a point: each doubles what is tried."""


class LaterVersionError(UnreadableError):
    """What is written is of a schema that this version does not know; a later one wrote it."""


def read_record(text: str | bytes) -> Record:
    """Return the record that is written as ``text``.

    Its key must be that of its job, which has the fields of its own schema, and its digest that of what is written, so
    that no change goes unnoticed.

    Raises:
        UnreadableError: it is damaged or altered; the message says which.
        LaterVersionError: it is of a schema that this version does not read.
    """
    value = read_object(text)
    if "schema_version" not in value or not isinstance(value.get("job"), dict):
        raise UnreadableError("it is damaged: it is not a record")
    schema = value["schema_version"]
    if type(schema) is not int or schema not in READABLE_SCHEMAS:
        raise LaterVersionError(f"it is of schema {brief(schema)}, which this version does not read")
    return _in_either_notation(_read_record, value, value["job"])


def _read_record(value: dict[str, Any]) -> Record:
    record = read_as(Record, value, with_digest=value["schema_version"] >= 3)
    if record.key != record.job.key:
        raise UnreadableError("it was altered: its key does not belong to its job")
    return record


def _in_either_notation(read: Callable[[dict[str, Any]], Schema], value: dict[str, Any], job: object) -> Schema:
    """Return what is read of an object, whichever of a model's numbers lost their ``.0`` to a program that rewrote it.

    A hyper-parameter may be a whole number or any number, and jq or JavaScript write 2.0 as 2. The digests say which
    it was.
    """
    try:
        return read(value)
    except UnreadableError as error:
        altered = error
    model = job.get("model") if isinstance(job, dict) else None
    hyper = model.get("hyper") if isinstance(model, dict) else None
    hyper = hyper if isinstance(hyper, dict) else {}
    names = [name for name, part in hyper.items() if type(part) is int and abs(part) <= LARGEST_NUMBER]
    for chosen in _choices(names) if len(names) <= MOST_WHOLE_NUMBERS else ():
        for name in names:
            hyper[name] = float(hyper[name]) if name in chosen else int(hyper[name])
        with suppress(UnreadableError):
            return read(value)
    raise altered


def _choices(names: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield every choice of at least one of some names."""
    for count in range(1, len(names) + 1):
        yield from combinations(names, count)


def job_text(job: Job) -> str:
    """Return a job as it is written to its directory, with the digest of all of it, its ``settings`` too."""
    return file_text(job.model_dump(mode="json"), with_digest=True)


def read_job(text: str | bytes) -> Job:
    """Return the job that is written as ``text``; one that was written before there were digests has none.

    Raises:
        UnreadableError: it is damaged or altered.
    """
    value = read_object(text)
    return _in_either_notation(lambda job: read_as(Job, job, with_digest="digest" in job), value, value)
