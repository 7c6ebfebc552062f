"""Run one job on a node of Slurm: supervise it, and put it back into the queue if it was asked to stop."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from asrnn_bench.jobs.ends import EX_PREEMPTED
from asrnn_bench.jobs.handover import DEVICES_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import own_job_id, requeue, state_of
from asrnn_bench.launching.slurm.folder import read_jobs
from asrnn_bench.launching.slurm.ranks import SrunRanks
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE
from asrnn_bench.supervising.processes import Child
from asrnn_bench.supervising.supervise import supervise


def run_task(folder: str, options: str, environment: Mapping[str, str], promised: bool) -> None:
    """Supervise the job of this array task, and exit: with 0 if the job is settled, with 75 if it was asked to stop.

    Slurm does not requeue a job that ends after a warning of its time limit or preemption, so this function does. It
    requeues only a job that Slurm still counts as running, and not one that Slurm is ending, as after ``scancel``.

    Args:
        folder: the folder of the submission, which lists its jobs.
        options: how the job runs, as JSON.
        environment: variables that its worker gets in addition to those of this process.
        promised: whether GPUs were asked for.
    """
    asked = Options.model_validate_json(options)
    place = gpu_variables(os.environ, asked.devices_per_job, promised=promised)
    start = partial(SrunRanks, asked) if asked.nodes_per_job > 1 else Child
    status = supervise(str(own_job(Path(folder))), asked, {**environment, **place}, start=start)
    number = own_job_id()
    if status == EX_PREEMPTED and number is not None and state_of(number) == "RUNNING":
        requeue(number)  # if that fails, the run finds the job missing from the queue and submits it again
    sys.exit(status)


def own_job(folder: Path) -> Path:
    """Return the job directory of the array task that runs this process; a single job counts as task 0."""
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return read_jobs(folder)[index]


def gpu_variables(variables: Mapping[str, str], devices: int, *, promised: bool) -> dict[str, str]:
    """Return the variables that tell a worker which GPUs it may use.

    A partition or a plug-in of Slurm can give a job GPUs that nobody asked for, so the variables of Slurm decide. A job
    without GPUs must not see those of its node, which may belong to other jobs.

    Args:
        variables: the variables of this process.
        devices: how many GPUs a job uses on each node.
        promised: whether GPUs were asked for.
    """
    count = variables.get("SLURM_GPUS_ON_NODE", "0")
    names = variables.get("SLURM_STEP_GPUS") or variables.get("SLURM_JOB_GPUS") or ""
    has_gpus = names != "" or (count.isdecimal() and int(count) > 0)
    if has_gpus or promised:
        return {DEVICES_VARIABLE: str(devices)}
    return {DEVICES_VARIABLE: "0", VISIBLE_VARIABLE: ""}
