"""Times and counts as they are written on the command line."""

import re

from asrnn.errors import UsageError

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(flag: str, text: str) -> float:
    """Return the seconds of a time such as ``90s``, ``10min``, ``2h`` or ``1d``.

    Raises:
        UsageError: it is none.
    """
    matched = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|min|h|d)", text.strip())
    if matched is None or float(matched[1]) <= 0:
        raise UsageError(f"{flag} takes a time above 0, such as 90s, 10min, 2h or 1d; found '{text}'")
    return float(matched[1]) * _SECONDS[matched[2]]


def interval(flag: str, text: str) -> tuple[float | None, int | None]:
    """Return an interval as seconds or as optimiser steps, such as ``5min`` or ``100steps``.

    Raises:
        UsageError: it is neither.
    """
    matched = re.fullmatch(r"([1-9][0-9]{0,8})steps", text.strip())
    if matched is not None:
        return None, int(matched[1])
    try:
        return seconds(flag, text), None
    except UsageError as error:
        raise UsageError(f"{flag} takes a time or steps, such as 5min or 100steps; found '{text}'") from error


def names(text: str | None) -> list[str]:
    """Return the names of a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def numbers(flag: str, text: str | None) -> list[int]:
    """Return the whole numbers of a list with commas.

    Raises:
        UsageError: one of them is not a whole number of at least 0.
    """
    for word in names(text):
        if not (word.isascii() and word.isdigit() and len(word) < 20):
            raise UsageError(f"{flag} takes whole numbers with commas between them, such as 0,1,2; found '{word}'")
    return [int(word) for word in names(text)]
