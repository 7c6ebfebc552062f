"""Say in one line why pydantic refused the content of a file."""

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from asrnn_bench.files.plain_text import LONGEST, brief, plain


def first_fault(error: ValidationError, schema: type[BaseModel]) -> str:
    """Return one line with the first fault of a file, its place, and the number of further faults.

    Args:
        error: the error of reading the file as ``schema``.
        schema: the model of the file, for the near match of an unknown key.
    """
    faults = error.errors(include_url=False)
    # A mistyped key is at once unknown and missing; that it is unknown says more.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part)[:80] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"unknown key '{place}'{_near_key(first['loc'], schema)}"
    elif first["type"] == "missing":
        text = f"the key '{place}' is missing"
    elif first["type"] == "string_pattern_mismatch":
        text = f"{place}: a name is made of up to 64 of a-z, 0-9, '.', '_' and '-' (found {brief(first['input'])})"
        if place.startswith("models.") or place.endswith(".model"):
            text = (
                f"{place}: a suite names registered models and layers, such as torch.nn:GRU or torchrecurrent:MGU, "
                f"and a run adds files and modules with --models (found {brief(first['input'])})"
            )
    else:
        found = "" if isinstance(first["input"], dict) else f" (found {brief(first['input'])})"
        text = f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}{found}"
    text = plain(text)[:LONGEST]
    return text + (f"; and {len(faults) - 1} more" if len(faults) > 1 else "")


def _near_key(location: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    """Return a hint at the key that was probably meant; it is sought in the model at the location of the fault."""
    fields: dict[str, Any] = dict(schema.model_fields)
    for part in location[:-1]:
        model = next((m for m in _models_in(fields[part].annotation)), None) if part in fields else None
        fields = dict(model.model_fields) if model else fields
    near = get_close_matches(str(location[-1]), list(fields), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else f"; the keys here are: {', '.join(fields)}"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in a field's annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
