"""Tell the errors of a file system that pass by themselves from those that last, and wait until they have passed.

A file server that restarts, a client that lost its connection and a busy machine cause errors that say nothing about
the file. Trying again later helps against these errors, and against no others.
"""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EAGAIN,
        errno.EINTR,
        errno.EBUSY,
        errno.ETIMEDOUT,
        errno.ENFILE,
        errno.EMFILE,
        errno.ENOBUFS,
        errno.ENOLCK,
        errno.ENOTCONN,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOLINK,
        errno.ECOMM,
        errno.EPROTO,
        errno.EREMOTEIO,
    }
)
"""The errors of a file server, its connection or a busy machine. The file itself may be all right."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a disk or a quota without room. A person has to make room."""

WAIT_SECONDS = 20.0
"""How long :func:`wait_out` tries again by default before it raises the error."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


def is_passing(error: BaseException) -> bool:
    """Return whether an error is an error of a file system that passes by itself."""
    return isinstance(error, OSError) and error.errno in PASSING


def wait_out(call: Callable[[], T], seconds: float | None = None, sleep: Callable[[float], None] = time.sleep) -> T:
    """Return what ``call`` returns, and call it again as long as it fails with an error that passes by itself.

    Args:
        call: a function that may be called more than once.
        seconds: the sum of the pauses between calls, at most; ``WAIT_SECONDS`` by default.
        sleep: pauses for some seconds; tests pass another function.

    Raises:
        OSError: the error lasts longer, or does not pass by itself.
    """
    pause, left = FIRST_PAUSE_SECONDS, WAIT_SECONDS if seconds is None else seconds
    while True:
        try:
            return call()
        except OSError as error:
            if not is_passing(error) or left <= 0:
                raise
        sleep(min(pause, left))
        left -= pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
