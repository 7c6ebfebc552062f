"""A file system that fails below one folder, whoever asks it for what."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

PASSING = [errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN]
CALLS = ("open", "scandir", "listdir", "stat", "replace", "rename", "link", "unlink", "mkdir")


class FailingDisk:
    """Lets the calls of ``os`` fail below a folder, while it is ``failing``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, number: int, calls: tuple[str, ...] = CALLS):
        self.root, self.number, self.failing, self.failures = str(root), number, False, 0
        for name in calls:
            monkeypatch.setattr(os, name, self._guard(getattr(os, name)))

    def _guard(self, call: Any) -> Any:
        def guarded(path: Any = ".", *args: Any, **options: Any) -> Any:
            if self.failing and isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.root):
                self.failures += 1
                raise OSError(self.number, os.strerror(self.number), os.fspath(path))
            return call(path, *args, **options)

        return guarded
