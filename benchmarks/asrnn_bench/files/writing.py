"""Write files so that a reader finds them whole or not at all, and read them back."""

import ctypes
import errno
import os
import secrets
from pathlib import Path
from typing import Any

from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.reading import parse_json, read_file


def replace(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replace a file at once: a reader sees the old content or the new one, never a part.

    Args:
        path: the file.
        content: its new content.
        durable: whether to wait until the new content would survive a power cut.
    """
    # Not mkstemp, which takes as long as all the rest: a run may write tens of thousands of files before it starts.
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask is, as others read it too
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where the file is missing or is not a JSON object.

    Raises:
        OSError: the file system fails with an error that passes by itself, so the file may be there.
    """
    try:
        value = parse_json(read_file(path), halves=True)
    except OSError as error:
        if is_passing(error):
            raise
        return {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def is_there(path: Path) -> bool:
    """Return whether a file or folder exists.

    Raises:
        OSError: the file system does not say; ``Path.exists`` of some versions of Python returns ``False`` then.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link to itself exists, though it cannot be followed
            raise
    return True


def holds(path: Path, text: str) -> bool:
    """Return whether a file exists and holds exactly ``text``."""
    try:
        return read_file(path) == text.encode()
    except OSError:
        return False


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Wait until everything written to a folder's file system would survive a power cut: one wait for many files.

    Raises:
        OSError: something could not be written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
