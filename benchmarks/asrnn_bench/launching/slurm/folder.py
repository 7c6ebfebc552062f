"""Read and name the files of one submission, in its folder ``<output>/.slurm/<name>``."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from asrnn_bench.files.writing import read_object, replace

_UNNAMED = re.compile(r"[0-9a-f]{32}\.pkl")
"""What submitit calls the files that its tasks start from, until sbatch has said the number of their job."""


def write_jobs(folder: Path, paths: Sequence[Path]) -> None:
    """Make the folder, and write which job directory is which task's, before Slurm knows of the submission."""
    folder.mkdir(parents=True)
    relative = [str(path.relative_to(folder.parents[1])) for path in paths]
    replace(folder / "jobs.json", json.dumps({"jobs": relative}, allow_nan=False) + "\n")


def jobs_of(folder: Path) -> list[Path]:
    """Return the job directories of a submission, in the order of its tasks."""
    return [folder.parents[1] / str(path) for path in read_object(folder / "jobs.json").get("jobs", [])]


def name_tasks(folder: Path, number: str) -> None:
    """Give the tasks what they wait for where sbatch did not say its number in time: files with the number.

    All the files of a submission have the same content.

    Args:
        folder: that of the submission.
        number: Slurm's, as the queue shows it.
    """
    unnamed = sorted(file for file in folder.glob("*.pkl") if _UNNAMED.fullmatch(file.name))
    is_array = len(jobs_of(folder)) > 1
    for index, file in enumerate(unnamed):
        with suppress(OSError):  # a task without its file fails by itself, and is submitted again
            file.rename(folder / f"{number}{f'_{index}' if is_array else ''}_submitted.pkl")
