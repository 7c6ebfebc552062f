"""Write and read ``progress.json``, which observers of a job follow."""

import json
from pathlib import Path
from typing import Any

from asrnn_bench.files.writing import read_object, replace
from asrnn_bench.jobs.ends import LARGEST_AMOUNT

NAME = "progress.json"


def write_progress(folder: Path, progress: dict[str, Any]) -> None:
    """Replace the progress in a job directory."""
    replace(folder / NAME, json.dumps(progress, allow_nan=False), durable=False)


def read_progress(folder: Path, attempt: int) -> dict[str, Any]:
    """Return the progress of an attempt, without values that cannot be shown; empty before its first report."""
    said = read_object(folder / NAME)
    if said.get("attempt") != attempt:
        return {}
    return {name: value for name, value in said.items() if _can_be_shown(name, value)}


def progress_version(folder: Path) -> tuple[int, int] | None:
    """Return a value that changes whenever the progress is replaced, from one ``stat``; None if there is none."""
    try:
        found = (folder / NAME).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns


def _can_be_shown(name: str, value: Any) -> bool:
    """Return whether a value has the right type: the phase is a word, all others are numbers."""
    if name == "phase":
        return isinstance(value, str) and len(value) <= 20 and value.isprintable()
    return isinstance(value, int | float) and (value == 0 or 1e-12 < abs(value) < LARGEST_AMOUNT)
