"""Record the files and modules that a model reads, and refuse those that its identity does not cover."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

from asrnn.errors import ModelError
from asrnn.sources.local_imports import (
    TRAVELS_ALONE,
    is_cache_or_system_file,
    is_installed_file,
    refuse_unknown_modules,
)


class FileReads:
    """A record of the files that the code of a model opened for reading.

    Args:
        covered: the files and folders that are part of the model's identity; reads by their code are recorded.
        model: the name of the model, for messages.
    """

    def __init__(self, covered: Iterable[Path], model: str) -> None:
        self.covered = [place.resolve() for place in covered]
        self.model = model
        self.files: dict[Path, None] = {}
        self.modules: set[str] = set()
        self._began = time.time()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record what the model opens for reading and imports in this process, within the context."""
        global _watching
        _install_hook()
        before, _watching = _watching, self
        modules = set(sys.modules)
        try:
            yield
        finally:
            _watching = before
            self.modules |= set(sys.modules) - modules

    def refuse(self) -> None:
        """Refuse the model if it read or imported a file that its identity does not cover.

        Raises:
            ModelError: it did; the message names the file.
        """
        refuse_unknown_modules(self.modules, self.covered, self.model)
        for file in self.files:
            raise ModelError(
                f"model '{self.model}' reads {file}, which is no part of its code, so that an edit there would go "
                f"unnoticed; {TRAVELS_ALONE}"
            )

    def note(self, path: object, frame: FrameType | None) -> None:
        """Record a file that was opened, if the code of the model opened it and its identity does not cover it."""
        if not isinstance(path, str | bytes) or not self.covered:
            return
        file = Path(os.fsdecode(path)).resolve()
        if self._matters(file) and self._is_asked_by_model(frame):
            self.files[file] = None

    def _matters(self, file: Path) -> bool:
        if self._covers(file) or is_installed_file(file) or is_cache_or_system_file(file) or not file.is_file():
            return False
        return file.stat().st_mtime < self._began  # a model may read what it wrote itself

    def _covers(self, file: Path) -> bool:
        return any(file == place or place in file.parents for place in self.covered)

    def _is_asked_by_model(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if self._covers(Path(frame.f_code.co_filename)):
                return True
            frame = frame.f_back
        return False


_watching: FileReads | None = None


@cache
def _install_hook() -> None:
    sys.addaudithook(_hook)  # a hook cannot be removed, so there is one for all


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    global _watching
    if _watching is None or event not in ("open", "ctypes.dlopen", "sqlite3.connect"):
        return
    if event == "open" and not _is_reading(*arguments[1:3]):
        return
    watching, _watching = _watching, None  # the reads of this function are not those of the model
    try:
        watching.note(arguments[0], sys._getframe(1))
    finally:
        _watching = watching


def _is_reading(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return "r" in mode and "+" not in mode
    return isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY
