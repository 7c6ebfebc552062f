"""Submissions: arrays of jobs that were handed to Slurm, and the folder each keeps below ``<output>/.slurm``.

submitit writes and submits the batch script, and starts :func:`run_task` on the node; nothing that it writes is read
here. A submission's name is never used twice, so a job is found in the queue whatever numbers Slurm gives.
"""

import io
import json
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
from asrnn_bench.atomic import read_object, replace
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.slurm_commands import Task, outside_of_slurm
from asrnn_bench.running.launchers.slurm_request import DEFAULT_MEMORY_GIB, MEMORY_KEYS, SlurmRequest
from asrnn_bench.running.launchers.slurm_task import run_task
from asrnn_bench.running.options import Options

NAME_PREFIX = "asrnn-bench-"
PYTHON = f"{shlex.quote(sys.executable)} -P"
"""Without the folder where the run was started, which is no part of a job."""


class RefusedError(Exception):
    """``sbatch`` did not take a submission; the message is its own."""


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
            for index, path in enumerate(read_object(file).get("jobs", [])):
                found.setdefault(self.output / str(path), []).append((file.parent.name, index))
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
        """
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        name = f"{NAME_PREFIX}{uuid4().hex[:12]}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        paths = [directory.path.resolve() for directory in directories]
        relative = [str(path.relative_to(self.output)) for path in paths]
        replace(
            folder / "jobs.json", json.dumps({"jobs": relative}, allow_nan=False) + "\n"
        )  # before Slurm knows of it
        executor = SlurmExecutor(folder, python=PYTHON)
        executor.update_parameters(**script_parameters(name, len(paths), options, request, threads))
        environment = worker_environment(request, threads)
        count = len(paths)
        try:
            with outside_of_slurm(), redirect_stderr(io.StringIO()):
                jobs = executor.map_array(
                    run_task, map(str, paths), [options.model_dump_json()] * count, [environment] * count
                )
        except (FailedJobError, FailedSubmissionError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RefusedError(_one_line(str(error))) from error
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
        "setup": ["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"],  # 22.05 to 23.02 do not inherit it
        "srun_args": ["--nodes=1", "--ntasks=1"],
        "additional_parameters": more,
    }


def worker_environment(request: SlurmRequest, threads: int) -> dict[str, str]:
    """Return what the workers get beside the environment that Slurm gives them."""
    place = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return place if request.asks_for_gpus else place | {"CUDA_VISIBLE_DEVICES": ""}


def _one_line(text: str) -> str:
    """Return what sbatch said, without its own name before each line."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))[:500] or "it gave no reason"
