"""Pack one bit for each sample into a short text: eight bits to a byte, the bytes in base64."""

import base64
from collections.abc import Iterable


def pack(answers: Iterable[bool]) -> str:
    """Return one bit for each answer, as text; the first is the highest bit of the first byte (``numpy.packbits``).

    >>> pack([True, False, False, True])
    'kA=='
    """
    digits = "".join("1" if answer else "0" for answer in answers)
    size = -(-len(digits) // 8)
    whole = int(digits.ljust(8 * size, "0") or "0", 2)
    return base64.b64encode(whole.to_bytes(size, "big")).decode("ascii")


def unpack(text: str, count: int) -> list[bool]:
    """Return the answers that :func:`pack` packed into ``text``.

    >>> unpack("kA==", 4)
    [True, False, False, True]

    Raises:
        ValueError: ``text`` does not hold ``count`` answers.
    """
    content = _content(text, count)
    return [digit == "1" for digit in "".join(f"{byte:08b}" for byte in content)[:count]]


def count_true(text: str, count: int) -> int:
    """Return how many of the ``count`` answers in ``text`` are true.

    >>> count_true("kA==", 4)
    2

    Raises:
        ValueError: ``text`` does not hold ``count`` answers.
    """
    return int.from_bytes(_content(text, count), "big").bit_count()


def _content(text: str, count: int) -> bytes:
    """Return the bytes of ``text``; refuse any other text than the one that :func:`pack` writes."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("bits are written in base64") from error
    spare = content[-1] & ((1 << -count % 8) - 1) if content else 0
    if len(content) != -(-count // 8) or spare or base64.b64encode(content).decode("ascii") != text:
        raise ValueError(f"these are not the bits of {count} samples")
    return content
