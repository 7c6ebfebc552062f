"""Read files that somebody else may have written: whole and with one meaning, or refuse them in one line."""

import errno
import gc
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asrnn_bench.files.plain_text import brief

LARGEST = 64 << 20
"""The most bytes that are read: a hundred times the largest record, and little enough for the memory."""

_HALF_OF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class UnreadableError(ValueError):
    """A text cannot be read; the message says in a few words why."""


@contextmanager
def many_objects() -> Iterator[None]:
    """Switch Python's garbage collector off, which would go through thousands of new objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: the file is missing, is a folder, a pipe or a device, is larger than ``largest``, or cannot be read.
    """
    try:
        # Without waiting: a pipe of this name would keep its reader until somebody writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file has a NUL character in its name") from error
    with open(descriptor, "rb") as file:  # noqa: PTH123 - there is a descriptor, and no path
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f"it is larger than {largest >> 20} MiB", str(path))
        return file.read()


def parse_json(text: str | bytes, *, halves: bool = False) -> Any:
    """Return the value of a JSON text that has one meaning only: UTF-8, finite numbers, no key twice in an object.

    Args:
        text: the text.
        halves: whether strings may hold half of a surrogate pair, as Python's names of files may.

    Raises:
        UnreadableError: the text is not such JSON.
    """
    try:
        # Some editors write a byte order mark before the text; it has no meaning.
        decoded = text.removeprefix("\ufeff") if isinstance(text, str) else text.decode("utf-8-sig")
        value = json.loads(decoded, object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant)
        if not halves and _HALF_OF_A_PAIR.search(decoded):
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnreadableError:
        raise
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8 text, from byte {error.start} on") from error
    except UnicodeEncodeError as error:
        raise UnreadableError("it holds half of a surrogate pair, which is not a character") from error
    except json.JSONDecodeError as error:
        raise UnreadableError(f"it is not JSON: {error.msg}, line {error.lineno}") from error
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except ValueError as error:  # Python's limit on the digits of a whole number
        raise UnreadableError("it holds a number of too many digits") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise UnreadableError(f"it has the key {brief(next(n for n in names if names.count(n) > 1))} twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise UnreadableError("it holds a number beyond all bounds")
    return value


def _no_constant(name: str) -> Any:
    raise UnreadableError(f"it holds {name}, which is not JSON")
