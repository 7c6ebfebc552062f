"""Files that a reader finds whole or not at all."""

import ctypes
import os
import tempfile
from pathlib import Path
from typing import Any

from asrnn_bench.reading import parse_json, read_file


def replace(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part, and a power cut the same."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where there is none."""
    try:
        value = parse_json(read_file(path), halves=True)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def holds(path: Path, text: str) -> bool:
    """Return whether a file is there and holds exactly this text."""
    try:
        return read_file(path) == text.encode()
    except OSError:
        return False


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to a folder's file system survive a power cut: one wait for many files.

    Raises:
        OSError: something could not be written.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
