"""Tell the errors of a file system that pass by themselves from those that last.

A file server that restarts, a client that lost its connection and a busy machine answer with errors that say nothing
about the file. Looking again later is the right answer to these, and only to these.
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
"""What a file server, its connection or a busy machine says of a file that may be all right."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk or a quota without room says: a person has to make room."""

WAIT_SECONDS = 20.0
"""How long a program that cannot go on without the file looks again before it gives up."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


def is_passing(error: BaseException) -> bool:
    """Return whether an error is one of a file system, and passes by itself."""
    return isinstance(error, OSError) and error.errno in PASSING


def wait_out(call: Callable[[], T], seconds: float | None = None, sleep: Callable[[float], None] = time.sleep) -> T:
    """Return what a call returns, calling it again while it fails with an error that passes.

    Args:
        call: what to do; it may be done more than once.
        seconds: how long to go on, as the sum of the pauses; ``WAIT_SECONDS`` by default.
        sleep: how to pause; another function in tests.

    Raises:
        OSError: the error lasts longer, or is not one that passes.
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
