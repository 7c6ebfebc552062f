"""How much of a disk a run takes, and how much of that its checkpoints are."""

import os
from dataclasses import dataclass
from pathlib import Path

from asrnn_bench.running.job_directory import JobDirectory

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
        for entry in _entries(path):
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, is_checkpoints or entry.name == name))
                    continue
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_nlink > 1:
                if (found.st_dev, found.st_ino) in linked:
                    continue
                linked.add((found.st_dev, found.st_ino))
            taken = found.st_blocks * _BLOCK if hasattr(found, "st_blocks") else found.st_size
            total += taken
            checkpoints += taken if is_checkpoints else 0
    return DiskUse(total, checkpoints)


def _entries(path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []
