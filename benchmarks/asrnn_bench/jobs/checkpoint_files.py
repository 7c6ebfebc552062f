"""Name, list and copy the checkpoint files of a job, without torch."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from asrnn_bench.files.writing import replace

_NAME = re.compile(r"step-(\d{8,})\.ckpt")


def checkpoint_file(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint after ``step`` optimiser steps."""
    return folder / f"step-{step:08d}.ckpt"


def digest_file(checkpoint: Path) -> Path:
    """Return the file that holds the sha256 of a checkpoint."""
    return checkpoint.with_name(checkpoint.name + ".sha256")


def checkpoint_steps(folder: Path) -> Iterator[int]:
    """Yield the steps of the checkpoints in a folder, in no order.

    Raises:
        OSError: the folder exists and cannot be listed. ``Path.glob`` of some versions of Python finds nothing then.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        matched = _NAME.fullmatch(name)
        if matched is not None:
            yield int(matched[1])


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint in a folder, 0 if there is none; no checkpoint is read."""
    return max(checkpoint_steps(folder), default=0)


def copy_newest(source: Path, target: Path) -> bool:
    """Copy the newest checkpoint of a folder to another folder, and return whether there was one.

    Raises:
        OSError: it cannot be read or written.
    """
    step = newest_step(source)
    if not step:
        return False
    old, new = checkpoint_file(source, step), checkpoint_file(target, step)
    target.mkdir(exist_ok=True)
    for here, there in ((digest_file(old), digest_file(new)), (old, new)):  # the digest first, as they are written
        replace(there, here.read_bytes())
    return True
