"""Submissions: arrays of jobs that were handed to Slurm, and the folder each keeps below ``<output>/.slurm``.

submitit writes and submits the batch script, and starts :func:`run_task` on the node; nothing that it writes is read
here. A submission's name is never used twice, so a job is found in the queue whatever numbers Slurm gives.
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
from asrnn_bench.launching.slurm.folder import jobs_of, write_jobs
from asrnn_bench.launching.slurm.request import DEFAULT_MEMORY_GIB, MEMORY_KEYS, TRANSLATED, SlurmRequest
from asrnn_bench.launching.slurm.task import run_task

NAME_PREFIX = "asrnn-bench-"
PYTHON = f"{shlex.quote(sys.executable)} -P"
"""Without the folder where the run was started, which is no part of a job."""


_LATE = re.compile("timed out|Zero Bytes|receive failure|I/O error|reset by peer|Broken pipe", re.IGNORECASE)
"""What sbatch says when it has asked and was not answered; the controller may take the submission all the same."""


UNASKED_GPUS = '[ "${SLURM_GPUS_ON_NODE:-0}" = 0 ] || export SLURM_GPUS_PER_NODE=$SLURM_GPUS_ON_NODE'
"""srun hands on GPUs that were asked for, and not those of a node that is a job's alone."""


class RefusedError(Exception):
    """``sbatch`` did not take a submission; the message is its own."""


class UnansweredError(Exception):
    """Nobody knows whether a submission was taken, until the queue shows it by its name.

    Args:
        name: the submission's.
        said: what sbatch said.
    """

    def __init__(self, name: str, said: str) -> None:
        super().__init__(said)
        self.name = name


@dataclass(frozen=True)
class Submissions:
    """The folder of the submissions below an output folder."""

    output: Path

    @classmethod
    def of(cls, directory: JobDirectory) -> "Submissions":
        """Return those of the output folder that a job directory lies in.

        Raises:
            UsageError: Slurm would take its name for a pattern.
        """
        output = directory.path.resolve().parents[3]  # <output>/<suite>/<task>/<model>/seed-...
        if "%" in str(output) or "\\" in str(output):
            raise UsageError(f"Slurm cannot write to {output}: name an --output without '%' and '\\'")
        return cls(output)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.output / ".slurm"

    def tasks(self) -> dict[Path, list[Task]]:
        """Return, for each job directory, all that was ever submitted for it, as far as its folder still stands."""
        found: dict[Path, list[Task]] = {}
        for file in sorted(self.folder.glob(f"{NAME_PREFIX}*/jobs.json")):
            for index, path in enumerate(jobs_of(file.parent)):
                found.setdefault(path, []).append((file.parent.name, index))
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Remove the folders of submissions none of which is in the queue any more."""
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def submit(
        self, directories: Sequence[JobDirectory], options: Options, request: SlurmRequest, threads: int
    ) -> tuple[str, str]:
        """Hand jobs to Slurm as one array, and return the name of the submission and Slurm's number.

        Raises:
            RefusedError: ``sbatch`` does not take it.
            UnansweredError: nobody knows whether it does.
            OSError: the folder of the submission cannot be written.
        """
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        name = f"{NAME_PREFIX}{uuid4().hex[:12]}"
        folder = self.folder / name
        write_jobs(folder, [directory.path.resolve() for directory in directories])
        executor = SlurmExecutor(folder, python=PYTHON)
        parameters = script_parameters(name, len(directories), options, request, threads)
        executor.update_parameters(**parameters)
        asked = {key.replace("-", "_") for key in parameters["additional_parameters"]}
        task = (str(folder), options.model_dump_json(), worker_environment(threads), request.asks_for_gpus)
        try:
            with outside_of_slurm(asked | set(TRANSLATED)), redirect_stderr(io.StringIO()):
                jobs = executor.map_array(run_task, *([value] * len(directories) for value in task))
        except FailedSubmissionError as error:  # sbatch ended well, and said something else than a number
            raise UnansweredError(name, _one_line(str(error))) from error
        except FailedJobError as error:
            said = _one_line(str(error))
            if _LATE.search(said):
                raise UnansweredError(name, said) from error
            shutil.rmtree(folder, ignore_errors=True)
            raise RefusedError(said) from error
        return name, jobs[0].job_id.partition("_")[0]


def script_parameters(name: str, count: int, options: Options, request: SlurmRequest, threads: int) -> dict[str, Any]:
    """Return what submitit writes into the batch script of an array; ``None`` keeps out what it would add itself."""
    several = options.nodes_per_job > 1
    asked = {key: value or True for key, value in request.options.items() if key != "array_parallelism"}
    usual: dict[str, str | int | bool] = {
        "export": "ALL",
        "requeue": True,
        "signal": f"USR2@{request.notice_seconds()}",
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
        "array_parallelism": int(request.options.get("array_parallelism", count)),
        "setup": [
            "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # 22.05 to 23.02 do not inherit it
            *([] if request.asks_for_gpus else [UNASKED_GPUS]),
        ],
        "srun_args": ["--nodes=1", "--ntasks=1"],
        "additional_parameters": more,
    }


def worker_environment(threads: int) -> dict[str, str]:
    """Return what the workers get beside the environment that Slurm gives them."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _one_line(text: str) -> str:
    """Return what sbatch said, without its own name before each line."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))[:500] or "it gave no reason"
