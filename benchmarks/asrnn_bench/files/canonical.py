"""Write pydantic models as JSON in one way only, and read only texts that would be written the same way again."""

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from asrnn_bench.files.reading import UnreadableError, parse_json
from asrnn_bench.files.validation import first_fault

Schema = TypeVar("Schema", bound=BaseModel)


def canonical_json(value: Any) -> str:
    """Return the canonical JSON of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """Return the sha256 of the canonical JSON of ``value``, as 64 hexadecimal digits."""
    return _sha256(canonical_json(value))


def file_text(value: dict[str, Any], *, with_digest: bool) -> str:
    """Return the text of an object's file: indented JSON with sorted keys, and its own digest as one of them."""
    whole = {**value, "digest": digest(value)} if with_digest else value
    return json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises:
        UnreadableError: the text is not a JSON object.
    """
    try:
        value = parse_json(text)
    except UnreadableError as error:
        raise UnreadableError(f"it is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UnreadableError("it is damaged: it is not a JSON object")
    return value


def read_as(schema: type[Schema], value: dict[str, Any], *, with_digest: bool) -> Schema:
    """Return the model that a JSON object was written from.

    Args:
        schema: the class of the model.
        value: the object.
        with_digest: whether the object must have a digest.

    Raises:
        UnreadableError: the object does not fit the schema, was altered, or would not be written the same way again.
    """
    claimed = value.get("digest")
    if with_digest:
        value = {name: part for name, part in value.items() if name != "digest"}
    found = _as_written(schema, value, claimed) if with_digest else None
    return found or _read_with_care(schema, value, claimed, with_digest=with_digest)


def _as_written(schema: type[Schema], value: dict[str, Any], claimed: object) -> Schema | None:
    """Return the model, or ``None`` where a closer look is needed. Nearly all objects are read by this fast way.

    A whole number in a field for floats is accepted, as some programs write 2.0 as 2.
    """
    try:
        found = schema.model_validate(value, strict=True)
    except (ValidationError, RecursionError):
        return None
    again = found.model_dump(mode="json")
    return found if again == value and claimed == digest(again) else None


def _read_with_care(schema: type[Schema], value: dict[str, Any], claimed: object, *, with_digest: bool) -> Schema:
    """Return the model, or raise an error that says what is wrong with the object."""
    try:
        written = canonical_json(value)
    except RecursionError as error:  # Python 3.12 reads deeper than it writes
        raise UnreadableError("it is damaged: it is nested too deeply") from error
    if with_digest and claimed != _sha256(written):
        raise UnreadableError("it was altered: its digest does not fit its content")
    try:
        found = schema.model_validate(value, strict=True)
    except ValidationError as error:
        raise UnreadableError(f"it is damaged: {first_fault(error, schema)}") from error
    if found.model_dump(mode="json") != value:
        raise UnreadableError("it is damaged: something is left out, or written in another way")
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
