"""Publish the result of a job exactly once, by a hard link that only the first process gets."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from asrnn_bench.files.writing import is_there, replace, sync_folder

NAME = "result.json"

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""The errors of a file system without hard links; AFS has them within one folder only."""


def link_result(own: Path, folder: Path) -> bool:
    """Publish a complete file as the result of a job directory, and return whether it is the first one.

    Args:
        own: the file, in the folder of its attempt.
        folder: the job directory.

    Raises:
        OSError: it could not be published; it may be tried again.
    """
    if is_there(published(folder)):
        return False
    try:
        os.link(own, folder / NAME)
    except FileExistsError:
        # A file server that answers twice may report this error for our own link.
        return own.samefile(folder / NAME)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _publish_without_links(own, folder)
    sync_folder(folder)
    return True


def places(folder: Path) -> tuple[Path, Path]:
    """Return where the result of a job directory can be: published by a link, or without links."""
    return folder / NAME, folder / "result" / NAME


def published(folder: Path) -> Path:
    """Return the path of the result of a job directory, whether or not it exists."""
    linked, renamed = places(folder)
    return renamed if not is_there(linked) and is_there(renamed) else linked


def put_aside(folder: Path) -> None:
    """Rename the result of a job directory, so that another one can be published and this one inspected.

    Raises:
        OSError: it cannot be renamed.
    """
    result = published(folder)
    whole = result if result.parent == folder else result.parent  # a result without links is a whole folder
    number, aside = 1, folder / f"{whole.name}.damaged"
    while os.path.lexists(aside):
        number += 1
        aside = folder / f"{whole.name}.damaged-{number}"
    with suppress(FileNotFoundError):  # another process renamed it
        whole.rename(aside)


def _publish_without_links(own: Path, folder: Path) -> bool:
    """Publish by renaming a complete folder, which succeeds for the first one only."""
    complete = folder / f".result.{own.parent.name}"
    complete.mkdir(exist_ok=True)
    replace(complete / NAME, own.read_bytes())
    try:
        complete.rename(folder / "result")
    except OSError:
        if not is_there(folder / "result"):
            raise
        shutil.rmtree(complete)
        return False
    sync_folder(folder)
    return True
