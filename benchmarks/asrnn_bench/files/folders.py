"""Make the folders that a run writes to, and let one runner at a time use them."""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from filelock import Timeout
from rich.console import Console

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.files.locking import CannotLockError, flock
from asrnn_bench.files.plain_text import plain


@contextmanager
def alone(output: Path, console: Console, *, join: bool) -> Iterator[None]:
    """Keep a second runner out of a folder. This saves double work only: no result depends on it.

    Args:
        output: the folder.
        console: where to warn that the file system has no locks.
        join: whether this runner may work beside another one; then it does not lock the folder.

    Raises:
        UsageError: another runner holds the folder.
    """
    if join:
        yield
        return
    holder = output / ".holder"
    with ExitStack() as stack:
        try:
            stack.enter_context(flock(output / ".lock", 0))
        except Timeout as error:
            raise UsageError(
                f"{_name_of(holder)} runs jobs in {output}; wait for it, help it with --join, or name another folder "
                "with --output"
            ) from error
        except (CannotLockError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            console.print(
                f"warning: {output} cannot be locked ({why}); start no second run in it except with --join",
                soft_wrap=True,
            )
        stack.callback(_forget, holder)
        with suppress(OSError):
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield


def _name_of(holder: Path) -> str:
    try:
        return plain(holder.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return "another process"


def _forget(holder: Path) -> None:
    with suppress(OSError):
        holder.unlink(missing_ok=True)


def make_writable(folder: Path, flag: str) -> None:
    """Make a folder, and check that files can be made in it.

    Raises:
        UsageError: they cannot; the message names ``flag``, which chooses another folder.
    """
    try:
        wait_out(partial(folder.mkdir, parents=True, exist_ok=True))
    except OSError as error:
        raise _unwritable(folder, flag, error) from error
    require_writable(folder, flag)


def require_writable(folder: Path, flag: str) -> None:
    """Check that files can be made in a folder, or that the folder can be made, and leave nothing behind.

    Raises:
        UsageError: they cannot; the message names ``flag``, which chooses another folder.
    """
    nearest = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), Path())
    probe = nearest / f".writable-{os.getpid()}"
    try:
        wait_out(probe.touch)
        wait_out(partial(probe.unlink, missing_ok=True))
    except OSError as error:
        raise _unwritable(folder, flag, error) from error


def _unwritable(folder: Path, flag: str, error: OSError) -> UsageError:
    return UsageError(f"cannot write to {folder}: {error.strerror}; name another folder with {flag}")
