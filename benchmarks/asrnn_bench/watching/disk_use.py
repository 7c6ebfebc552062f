"""How much of a disk a run takes, and how much of that its checkpoints are."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asrnn_bench.jobs.directory import JobDirectory

_BLOCK = 512
"""Bytes; what ``st_blocks`` counts, whatever the file system's own blocks are."""


@dataclass(frozen=True)
class DiskUse:
    """Bytes that files take on disk: all of them, and those of checkpoints alone."""

    total: int
    checkpoints: int


def disk_use(folder: Path) -> DiskUse:
    """Return what all files below ``folder`` take; one that has several names, as a result has, counts once.

    Files that come and go meanwhile are left out; links are not followed.
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
