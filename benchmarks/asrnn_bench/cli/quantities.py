"""Read times, names and numbers from the command line."""

import csv
import re
from collections.abc import Sequence

from asrnn.errors import UsageError

MOST_NUMBERS = 100_000
"""The most numbers of one list: more seeds than this are a mistake."""

_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(flag: str, text: str) -> float:
    """Return the seconds of a time such as ``90s``, ``10min``, ``2h`` or ``1d``.

    Raises:
        UsageError: the text is no such time.
    """
    matched = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|min|h|d)", text.strip())
    if matched is None or float(matched[1]) <= 0:
        raise UsageError(f"{flag} takes a time above 0, such as 90s, 10min, 2h or 1d; found '{text}'")
    return float(matched[1]) * _SECONDS[matched[2]]


def interval(flag: str, text: str) -> tuple[float | None, int | None]:
    """Return an interval as seconds or as optimiser steps, such as ``5min`` or ``100steps``.

    Raises:
        UsageError: the text is neither.
    """
    matched = re.fullmatch(r"([1-9][0-9]{0,8})steps", text.strip())
    if matched is not None:
        return None, int(matched[1])
    try:
        return seconds(flag, text), None
    except UsageError as error:
        raise UsageError(f"{flag} takes a time or steps, such as 5min or 100steps; found '{text}'") from error


def names(flag: str, given: str | Sequence[str] | None) -> list[str]:
    """Return the names of one or more lists with commas between names.

    A name that holds a comma, such as a path, is written in double quotes.

    Raises:
        UsageError: a quote is not closed, or the flag names nothing, as with a shell variable that is not set.
    """
    texts = [given] if isinstance(given, str) else given or ()
    try:
        rows = [row for text in texts for row in csv.reader([text], skipinitialspace=True, strict=True)]
    except csv.Error as error:
        found = ", ".join(texts)
        raise UsageError(f"{flag} takes names with commas between them; found '{found}': {error}") from error
    named = [name.strip() for row in rows for name in row if name.strip()]
    if given is not None and not named:
        raise UsageError(f"{flag} names nothing; leave it out for what is usual")
    return named


def numbers(flag: str, given: str | Sequence[str] | None) -> list[int]:
    """Return the whole numbers of a list with commas; ``0-3`` stands for 0, 1, 2 and 3.

    Raises:
        UsageError: a word is not a whole number of at least 0, or there are too many numbers.
    """
    found: list[int] = []
    for word in names(flag, given):
        matched = _RANGE.fullmatch(word)
        first, last = (int(matched[1]), int(matched[2] or matched[1])) if matched else (1, 0)
        if last < first:
            raise UsageError(
                f"{flag} takes whole numbers with commas between them, such as 0,1,2 or 0-9; found '{word}'"
            )
        if last - first + len(found) >= MOST_NUMBERS:
            raise UsageError(f"{flag} takes at most {MOST_NUMBERS} numbers; found '{word}'")
        found += range(first, last + 1)
    return found
