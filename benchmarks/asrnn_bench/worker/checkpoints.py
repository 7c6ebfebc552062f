"""Write and read checkpoints so that a kill at any moment loses none: a file and its digest for each of the last two.

::

    <job directory>/ckpt/step-00000120.ckpt  step-00000120.ckpt.sha256  step-00000080.ckpt  step-00000080.ckpt.sha256

Each is written to a temporary file in the same folder, flushed to the disk and then renamed, its digest first. So at
every moment the newest complete checkpoint, or the one before, can be read.
"""

import io
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.plain_text import brief
from asrnn_bench.files.reading import read_file
from asrnn_bench.files.writing import is_there, replace
from asrnn_bench.jobs.checkpoint_files import checkpoint_file, checkpoint_steps, digest_file

LARGEST = 1 << 40
"""Bytes of a checkpoint."""

KEPT = 2
"""The number of checkpoints kept: the last one, and the previous one in case the last is damaged."""


class DamagedCheckpointError(Exception):
    """The content of a checkpoint is not what was written."""


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The newest usable checkpoint: its file, its step, and ``which`` one it is, ``last`` or ``previous``.

    Without one, ``which`` is ``scratch``. ``refused`` says why newer checkpoints cannot be used.
    """

    path: Path | None = None
    step: int = 0
    which: str = "scratch"
    refused: list[str] = field(default_factory=list)


class Checkpoints(CheckpointIO):
    """The checkpoints of one job, as a plug-in of Lightning that writes and reads them.

    Args:
        folder: their folder.
        key: the key of the job without its rung. Each checkpoint holds it, and only those with this key are read.
        steps: the steps after which the job ends. A later checkpoint belongs to a later rung, and is not read.
    """

    def __init__(self, folder: Path, key: str, steps: int | None = None) -> None:
        self.folder, self.key, self.steps = folder, key, steps

    def path(self, step: int) -> Path:
        """Return the file of the checkpoint after ``step`` optimiser steps."""
        return checkpoint_file(self.folder, step)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint so that a crash loses no earlier one, and remove all but the last two.

        Raises:
            OSError: it cannot be written; earlier checkpoints are unchanged.
        """
        file = Path(path)
        buffer = io.BytesIO()
        torch.save({**checkpoint, "job": self.key}, buffer)
        content = buffer.getvalue()
        wait_out(lambda: replace(digest_file(file), sha256(content).hexdigest() + "\n"))
        wait_out(lambda: replace(file, content))
        for step in sorted(checkpoint_steps(self.folder), reverse=True)[KEPT:]:
            self.remove_checkpoint(self.path(step))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Return a checkpoint, after a check of its digest and its key.

        Raises:
            DamagedCheckpointError: it is not what was written, or belongs to another job.
            OSError: the file system fails in a way that may pass.
        """
        file = Path(path)
        try:
            content = read_file(file, LARGEST)
            expected = read_file(digest_file(file)).decode("ascii").strip()
        except (OSError, UnicodeDecodeError, MemoryError) as error:
            if is_passing(error):
                raise
            raise DamagedCheckpointError(f"{file.name}: it or its digest cannot be read") from error
        found = sha256(content).hexdigest()
        if found != expected:
            raise DamagedCheckpointError(f"{file.name}: its sha256 is {found[:12]}, not {brief(expected[:12])}")
        try:
            checkpoint = torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # torch and zipfile raise errors of many types
            raise DamagedCheckpointError(f"{file.name}: torch cannot read it ({type(error).__name__})") from error
        if not isinstance(checkpoint, dict) or checkpoint.get("job") != self.key:
            raise DamagedCheckpointError(f"{file.name}: it is not a checkpoint of this job")
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its digest."""
        _remove(Path(path))
        _remove(digest_file(Path(path)))

    def newest(self) -> LoadedCheckpoint:
        """Return the newest usable checkpoint."""
        refused: list[str] = []
        for place, step in enumerate(sorted(checkpoint_steps(self.folder), reverse=True)):
            try:
                if self.steps is not None and step > self.steps:
                    raise DamagedCheckpointError(f"{self.path(step).name}: the job ends after {self.steps} steps")
                self.load_checkpoint(self.path(step))
            except DamagedCheckpointError as error:
                refused.append(str(error))
            else:
                return LoadedCheckpoint(self.path(step), step, "last" if place == 0 else "previous", refused)
        return LoadedCheckpoint(refused=refused)

    def tidy(self, found: LoadedCheckpoint | None = None) -> None:
        """Make the folder, remove incomplete files of killed processes, and put refused checkpoints aside.

        Args:
            found: the checkpoint from which the training starts; all newer ones were refused.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        for file in self.folder.glob(".*.ckpt*"):
            _remove(file)
        for file in self.folder.glob("*.ckpt.sha256"):
            if not is_there(file.with_suffix("")):
                _remove(file)
        for step in checkpoint_steps(self.folder):
            whole = _is_file(self.path(step)) and _is_file(digest_file(self.path(step)))
            if not whole:
                self.remove_checkpoint(self.path(step))
            elif found is not None and step > found.step:
                for file in (self.path(step), digest_file(self.path(step))):
                    file.replace(file.with_name(f"{file.name}.refused"))
        probe = self.folder / ".writable"
        probe.touch()
        probe.unlink()


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
