"""Submit jobs to Slurm as job arrays. Each submission has its folder in ``<output>/.slurm``.

submitit writes and submits the batch script, and calls :func:`run_task` on the node. The results that submitit writes
are not read. Each submission has a new name, so that the queue is searched by name: Slurm can use job IDs again.
"""

import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slots import THREAD_VARIABLES
from asrnn_bench.launching.slurm.commands import Task, outside_of_slurm
from asrnn_bench.launching.slurm.folder import read_jobs, write_jobs
from asrnn_bench.launching.slurm.sbatch_options import (
    DEFAULT_MEMORY_GIB,
    MEMORY_KEYS,
    READ_FROM_ENVIRONMENT,
    SbatchOptions,
)
from asrnn_bench.launching.slurm.task import run_task

NAME_PREFIX = "asrnn-bench-"
PYTHON = f"{shlex.quote(sys.executable)} -P"
"""``-P`` keeps the folder in which the run was started off the import path of the jobs."""


_LATE = re.compile("timed out|Zero Bytes|receive failure|I/O error|reset by peer|Broken pipe", re.IGNORECASE)
"""Errors after which the controller may have accepted the submission, although sbatch got no answer."""


UNASKED_GPUS = '[ "${SLURM_GPUS_ON_NODE:-0}" = 0 ] || export SLURM_GPUS_PER_NODE=$SLURM_GPUS_ON_NODE'
"""Ask srun for the GPUs of an exclusive node: srun passes on only GPUs that were asked for."""


class RefusedError(Exception):
    """``sbatch`` refused a submission; the message is that of ``sbatch``."""


class UnansweredError(Exception):
    """``sbatch`` got no answer. The submission was accepted if the queue lists its name later.

    Args:
        name: the name of the submission.
        said: the message of ``sbatch``.
    """

    def __init__(self, name: str, said: str) -> None:
        super().__init__(said)
        self.name = name


@dataclass(frozen=True)
class Submissions:
    """The submissions of one output folder."""

    output: Path

    @classmethod
    def of(cls, directory: JobDirectory) -> "Submissions":
        """Return the submissions of the output folder of a job directory.

        Raises:
            UsageError: the path has characters that Slurm reads as a pattern.
        """
        output = directory.path.resolve().parents[3]  # <output>/<suite>/<task>/<model>/seed-...
        if "%" in str(output) or "\\" in str(output):
            raise UsageError(f"Slurm cannot write to {output}: name an --output without '%' and '\\'")
        return cls(output)

    @property
    def folder(self) -> Path:
        """The folder of all submissions."""
        return self.output / ".slurm"

    def tasks(self) -> dict[Path, list[Task]]:
        """Return all array tasks of each job directory, of the submissions whose folders still exist."""
        found: dict[Path, list[Task]] = {}
        for file in sorted(self.folder.glob(f"{NAME_PREFIX}*/jobs.json")):
            for index, path in enumerate(read_jobs(file.parent)):
                found.setdefault(path, []).append((file.parent.name, index))
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Remove the folders of submissions that have no job in the queue any more."""
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def submit(
        self, directories: Sequence[JobDirectory], options: Options, sbatch_options: SbatchOptions, threads: int
    ) -> tuple[str, str]:
        """Submit jobs as one array, and return the name of the submission and its job ID.

        Raises:
            RefusedError: ``sbatch`` refuses it.
            UnansweredError: ``sbatch`` got no answer, or printed no job ID.
            OSError: the folder of the submission cannot be written.
        """
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        name = f"{NAME_PREFIX}{uuid4().hex[:12]}"
        folder = self.folder / name
        write_jobs(folder, [directory.path.resolve() for directory in directories])
        executor = SlurmExecutor(folder, python=PYTHON)
        parameters = script_parameters(name, len(directories), options, sbatch_options, threads)
        executor.update_parameters(**parameters)
        asked = {key.replace("-", "_") for key in parameters["additional_parameters"]}
        task = (str(folder), options.model_dump_json(), worker_environment(threads), sbatch_options.asks_for_gpus)
        try:
            with outside_of_slurm(asked | set(READ_FROM_ENVIRONMENT)), redirect_stderr(io.StringIO()):
                jobs = executor.map_array(run_task, *([value] * len(directories) for value in task))
        except FailedSubmissionError as error:  # sbatch ended with status 0 but printed no job ID
            raise UnansweredError(name, _one_line(str(error))) from error
        except FailedJobError as error:
            said = _one_line(str(error))
            if _LATE.search(said):
                raise UnansweredError(name, said) from error
            shutil.rmtree(folder, ignore_errors=True)
            raise RefusedError(said) from error
        return name, jobs[0].job_id.partition("_")[0]


def script_parameters(
    name: str, count: int, options: Options, sbatch_options: SbatchOptions, threads: int
) -> dict[str, Any]:
    """Return the parameters from which submitit writes a batch script; ``None`` removes an option that it would add."""
    several = options.nodes_per_job > 1
    asked = {key: value or True for key, value in sbatch_options.options.items() if key != "array_parallelism"}
    usual: dict[str, str | int | bool] = {
        "export": "ALL",
        "requeue": True,
        "signal": f"USR2@{sbatch_options.notice_seconds()}",
        "ntasks-per-node": options.devices_per_job if several else 1,
        "cpus-per-task": threads * (1 if several else options.devices_per_job),
    }
    if not any(key in asked for key in MEMORY_KEYS):
        usual["mem"] = f"{DEFAULT_MEMORY_GIB * options.devices_per_job}G"
    more = usual | {key.replace("_", "-"): value for key, value in asked.items()}
    return {
        "job_name": name,
        "nodes": options.nodes_per_job,
        "time": None,
        "wckey": None,
        "array_parallelism": int(sbatch_options.options.get("array_parallelism", count)),
        "setup": [
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # 22.05 to 23.02 do not inherit it
            *([] if sbatch_options.asks_for_gpus else [UNASKED_GPUS]),
        ],
        "srun_args": ["--nodes=1", "--ntasks=1"],
        "additional_parameters": more,
    }


def worker_environment(threads: int) -> dict[str, str]:
    """Return the variables that the workers get in addition to those of Slurm."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _one_line(text: str) -> str:
    """Return the message of sbatch on one line, without the name ``sbatch:`` before each line."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))[:500] or "it gave no reason"
