"""Yes or no for each of many samples, as a short text: eight to a byte, bytes in base64."""

import base64
from collections.abc import Iterable


def pack(answers: Iterable[bool]) -> str:
    """Return answers as text; the first one is the highest bit of the first byte, as in ``numpy.packbits``.

    >>> pack([True, False, False, True])
    'kA=='
    """
    digits = "".join("1" if answer else "0" for answer in answers)
    size = -(-len(digits) // 8)
    whole = int(digits.ljust(8 * size, "0") or "0", 2)
    return base64.b64encode(whole.to_bytes(size, "big")).decode("ascii")


def unpack(text: str, count: int) -> list[bool]:
    """Return the answers that :func:`pack` wrote.

    >>> unpack("kA==", 4)
    [True, False, False, True]

    Raises:
        ValueError: the text is not that of ``count`` answers.
    """
    content = _content(text, count)
    return [digit == "1" for digit in "".join(f"{byte:08b}" for byte in content)[:count]]


def count_true(text: str, count: int) -> int:
    """Return how many of ``count`` answers are yes.

    >>> count_true("kA==", 4)
    2

    Raises:
        ValueError: the text is not that of ``count`` answers.
    """
    return int.from_bytes(_content(text, count), "big").bit_count()


def _content(text: str, count: int) -> bytes:
    """Return the bytes of answers, which are written in one way only."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("bits are written in base64") from error
    spare = content[-1] & ((1 << -count % 8) - 1) if content else 0
    if len(content) != -(-count // 8) or spare or base64.b64encode(content).decode("ascii") != text:
        raise ValueError(f"these are not the bits of {count} samples")
    return content
