"""Write jobs and records as JSON texts, and refuse a text that was damaged or altered since it was written."""

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
"""The most whole numbers among the hyper-parameters for which floats are tried: each doubles the number of tries."""


class LaterVersionError(UnreadableError):
    """A record has a schema that this version does not know; a later version wrote it."""


def read_record(text: str | bytes) -> Record:
    """Return the record in a text.

    The record's key must be the key of its job, and its digest the digest of what is written, so that every change is
    noticed.

    Raises:
        UnreadableError: the text is damaged or altered; the message says which.
        LaterVersionError: the record has a schema that this version does not read.
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
    """Read an object in which a program may have written hyper-parameters such as 2.0 as 2.

    A hyper-parameter can be an int or a float, and jq and JavaScript write both as 2. Both are tried for each whole
    number, until the digests are right.

    Args:
        read: reads the object, or raises UnreadableError.
        value: the object.
        job: the job in it, whose hyper-parameters are changed.

    Raises:
        UnreadableError: no choice of ints and floats can be read.
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
    """Return the text of a job's file. Its digest covers every field, ``settings`` too."""
    return file_text(job.model_dump(mode="json"), with_digest=True)


def read_job(text: str | bytes) -> Job:
    """Return the job in a text. A job of an early version has no digest, so its text is not checked against one.

    Raises:
        UnreadableError: the text is damaged or altered.
    """
    value = read_object(text)
    return _in_either_notation(lambda job: read_as(Job, job, with_digest="digest" in job), value, value)
