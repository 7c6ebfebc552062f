"""Define the values of a suite file: numbers that tables can hold, texts that fit a page, and names that are safe."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, StringConstraints

from asrnn_bench.files.plain_text import LONGEST, plain
from asrnn_bench.records.fields import LARGEST_NUMBER, Frozen

CONSTANTS = {
    **dict.fromkeys(("True", "TRUE", "true"), "write true, without quotes"),
    **dict.fromkeys(("False", "FALSE", "false"), "write false, without quotes"),
    **dict.fromkeys(("None", "null", "Null", "NULL"), "leave it out, and the model's own default is taken"),
    **dict.fromkeys(("nan", "NaN", "inf", "-inf", "Infinity"), "a number is finite"),
}
"""Words that are constants in Python or JSON but would be texts here, and what to write instead."""


class Strict(Frozen):
    """A part of a suite file: values of other types are refused too, and never converted."""

    model_config = ConfigDict(strict=True)


def _no_constant(value: object) -> object:
    """Refuse a value of another type, and a word that is a constant in Python or JSON."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"a hyper-parameter is a number, a word, true or false, not a {type(value).__name__}")
    if isinstance(value, str) and value in CONSTANTS:
        raise ValueError(f"'{value}' would be a word like any other: {CONSTANTS[value]}")
    return value


def _of_a_size(value: float | int | str | bool) -> float | int | str | bool:
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ValueError("a whole number lies within 2**63 of zero")
    if isinstance(value, str) and len(value) > 200:
        raise ValueError("a word has at most 200 characters")
    return value


def _like_an_argument(name: str) -> str:
    if not (name.isidentifier() and name.isascii() and len(name) <= 64):
        raise ValueError("a hyper-parameter is an argument of the model's class, and is named like one")
    return name


Plain = Annotated[float | int | str | bool, BeforeValidator(_no_constant), AfterValidator(_of_a_size)]
"""The value of a hyper-parameter."""

Argument = Annotated[str, AfterValidator(_like_an_argument)]
"""The name of a hyper-parameter."""

Words = Annotated[str, StringConstraints(max_length=LONGEST), AfterValidator(plain)]
"""A text for people, on one line."""

Reference = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]{0,63}|(torch\.nn|torchrecurrent):[A-Za-z][A-Za-z0-9]*)$")
]
"""A model that a suite may name: a registered one, or a layer of torch.nn or torchrecurrent, such as torch.nn:GRU."""
