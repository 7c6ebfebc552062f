"""Measure the disk space of a run, and the part of it that checkpoints take."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asrnn_bench.jobs.directory import JobDirectory

_BLOCK = 512
"""The unit of ``st_blocks`` in bytes, whatever the file system's own blocks are."""


@dataclass(frozen=True)
class DiskUse:
    """The bytes that files take on disk: all files, and checkpoints only."""

    total: int
    checkpoints: int


def disk_use(folder: Path) -> DiskUse:
    """Return the disk space of all files below ``folder``.

    A file with several hard links, such as a result, counts once. Symbolic links are not followed, and files that
    vanish meanwhile are left out.
    """
    name = JobDirectory(Path()).checkpoints.name
    total = checkpoints = 0
    linked: set[tuple[int, int]] = set()
    folders = [(str(folder), False)]
    while folders:
        path, is_checkpoints = folders.pop()
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, is_checkpoints or entry.name == name))
                        continue
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if found.st_nlink > 1:
                    file = (found.st_dev, found.st_ino)
                    if file in linked:
                        continue
                    linked.add(file)
                taken = found.st_blocks * _BLOCK
                total += taken
                if is_checkpoints:
                    checkpoints += taken
    return DiskUse(total, checkpoints)
