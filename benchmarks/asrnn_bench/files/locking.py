"""Lock a folder for one process at a time, on file systems with and without ``flock``.

NFS without its lock service, Lustre mounted without ``flock``, Cray DVS and some FUSE file systems refuse ``flock``.
There a marker file is used instead. Its holder touches it every few seconds. A marker that is not touched any more
belongs to a process that was killed, whatever the clocks of the hosts say.
"""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout

TOUCH_SECONDS = 5.0
STALE_SECONDS = 30.0
"""A marker that was not touched for so long belongs to a process that was killed."""

POLL_SECONDS = 0.1

WITHOUT_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""The errors of a file system without ``flock``. After any other error another process may hold the lock."""

LOCK_MODE = 0o664
"""The mode of a lock file. A group that shares a folder shares its lock, which has to be opened for writing."""


class CannotLockError(Exception):
    """The file system has no ``flock``; the message is its error."""


@contextmanager
def flock(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock file ``path`` with ``flock``.

    Args:
        path: the file; it is made where it is missing, and is never removed.
        timeout: how many seconds to wait for another process.

    Raises:
        CannotLockError: the file system has no ``flock``.
        OSError: the file cannot be opened or locked for another reason, so that others may hold it.
        Timeout: another process holds it.
    """
    lock = FileLock(path, timeout=timeout, mode=LOCK_MODE)
    try:
        _try_flock(path)
        lock.acquire()
    except Timeout:
        raise
    except NotImplementedError as error:  # of filelock 3.13 for ENOSYS
        raise CannotLockError(str(error)) from error
    except OSError as error:
        if error.errno not in WITHOUT_FLOCK:
            raise
        raise CannotLockError(error.strerror) from error
    try:
        yield
    finally:
        lock.release()


def _try_flock(path: Path) -> None:
    """Lock and unlock the file once. This shows errors that some versions of filelock hide.

    Raises:
        OSError: the file system refuses to lock.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
                raise


@contextmanager
def hold(folder: Path, timeout: float) -> Iterator[None]:
    """Hold a folder, by ``flock`` or else by a marker file.

    Args:
        folder: the folder; files called ``.lock`` and ``.lock.marker`` are made in it.
        timeout: how many seconds to wait for another process.

    Raises:
        OSError: no file can be made in the folder, or it cannot be known whether another process holds it.
        Timeout: another process holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(flock(folder / ".lock", timeout))
        except CannotLockError:
            stack.enter_context(hold_marker(folder / ".lock.marker", timeout))
        yield


@contextmanager
def hold_marker(path: Path, timeout: float, *, stale_seconds: float = STALE_SECONDS) -> Iterator[None]:
    """Hold a lock by a marker file, which only one process can make.

    Args:
        path: the marker.
        timeout: how many seconds to wait for another process.
        stale_seconds: a marker of another process that was not touched for so long is removed.

    Raises:
        OSError: the marker cannot be made.
        Timeout: another process holds it.
    """
    until = time.monotonic() + timeout
    seen, since = None, time.monotonic()
    while (own := _make(path)) is None:
        now, found = time.monotonic(), _identity(path)
        if found != seen:
            seen, since = found, now
        elif found is not None and now - since > stale_seconds:
            _remove_stale(path, found)
        if now >= until:
            raise Timeout(str(path))
        time.sleep(POLL_SECONDS)
    over = Event()
    toucher = Thread(target=_touch, args=(path, over), daemon=True)
    toucher.start()
    try:
        yield
    finally:
        over.set()
        toucher.join()
        with suppress(OSError):
            if path.stat().st_ino == own:  # one that stood still for too long was removed, and may be another's now
                path.unlink()


def _make(path: Path) -> int | None:
    """Make a marker and return its inode; ``None`` where another process has made it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _remove_stale(path: Path, seen: tuple[int, int]) -> None:
    """Remove a marker, unless another process has just removed it and made its own."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with suppress(OSError):
        path.rename(aside)
        if _identity(aside) != seen:
            os.link(aside, path)
        aside.unlink()


def _touch(path: Path, over: Event) -> None:
    while not over.wait(TOUCH_SECONDS):
        with suppress(OSError):
            os.utime(path)
