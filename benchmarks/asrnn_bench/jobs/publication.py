"""The exactly-once publication of a job's result: by a hard link, which only the first one gets."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from asrnn_bench.files.writing import is_there, replace, sync_folder

NAME = "result.json"

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""What a file system without hard links says; AFS has them within one folder only."""


def link_result(own: Path, folder: Path) -> bool:
    """Publish a complete file as the result of a job directory, and return whether it was the first one.

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
        # A file server that answers twice may say so of our own link.
        return own.samefile(folder / NAME)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _publish_without_links(own, folder)
    sync_folder(folder)
    return True


def published(folder: Path) -> Path:
    """Return where the result of a job directory is, or would be."""
    linked, renamed = folder / NAME, folder / "result" / NAME
    return renamed if not is_there(linked) and is_there(renamed) else linked


def put_aside(folder: Path) -> None:
    """Rename the result of a job directory, which stays to be looked at, so that another can be published.

    Raises:
        OSError: it cannot be renamed.
    """
    result = published(folder)
    whole = result if result.parent == folder else result.parent  # a folder takes part in its publication as a whole
    number, aside = 1, folder / f"{whole.name}.damaged"
    while os.path.lexists(aside):
        number += 1
        aside = folder / f"{whole.name}.damaged-{number}"
    with suppress(FileNotFoundError):  # another process was faster
        whole.rename(aside)


def _publish_without_links(own: Path, folder: Path) -> bool:
    """Publish on a file system without hard links: only the first of two complete folders can be renamed."""
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
