"""Read and write the folder of a submission, ``<output>/.slurm/<name>``."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from asrnn_bench.files.writing import read_object, replace

_UNNAMED = re.compile(r"[0-9a-f]{32}\.pkl")
"""How submitit names the files from which its tasks start, until ``sbatch`` has returned the job ID."""


def write_jobs(folder: Path, paths: Sequence[Path]) -> None:
    """Make the folder of a submission and write the list of its job directories, before ``sbatch`` is called."""
    folder.mkdir(parents=True)
    relative = [str(path.relative_to(folder.parents[1])) for path in paths]
    replace(folder / "jobs.json", json.dumps({"jobs": relative}, allow_nan=False) + "\n")


def read_jobs(folder: Path) -> list[Path]:
    """Return the job directories of a submission, in the order of its array tasks."""
    return [folder.parents[1] / str(path) for path in read_object(folder / "jobs.json").get("jobs", [])]


def name_task_files(folder: Path, number: str) -> None:
    """Rename submitit's files for a job ID that ``sbatch`` did not return, so that the tasks find them.

    All these files of a submission have the same content.

    Args:
        folder: the folder of the submission.
        number: the job ID, as ``squeue`` lists it.
    """
    unnamed = sorted(file for file in folder.glob("*.pkl") if _UNNAMED.fullmatch(file.name))
    is_array = len(read_jobs(folder)) > 1
    for index, file in enumerate(unnamed):
        with suppress(OSError):  # a task without its file fails, and its job is submitted again
            file.rename(folder / f"{number}{f'_{index}' if is_array else ''}_submitted.pkl")
