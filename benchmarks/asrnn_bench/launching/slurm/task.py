"""What Slurm runs on a node: one job under its supervisor, put back into the queue where it was told to stop."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from asrnn_bench.jobs.ends import EX_PREEMPTED
from asrnn_bench.jobs.handover import DEVICES_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import own_number, requeue, state_of
from asrnn_bench.launching.slurm.folder import jobs_of
from asrnn_bench.launching.slurm.ranks import SrunRanks
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE
from asrnn_bench.supervising.processes import Child
from asrnn_bench.supervising.supervise import supervise


def run_task(folder: str, options: str, environment: Mapping[str, str], promised: bool) -> None:
    """Supervise this task's job of a submission and exit: 0 where it is settled, 75 where it was stopped.

    A job that was told to stop ahead of a time limit or a preemption still counts as running, and would have ended with
    its process: it is queued again here. One that Slurm is ending itself, by ``scancel`` say, is left to Slurm.

    Args:
        folder: that of the submission, which says which job is whose.
        options: how to run it, as JSON.
        environment: what its worker gets beside this process's environment.
        promised: whether GPUs were asked for.
    """
    asked = Options.model_validate_json(options)
    place = gpu_place(os.environ, asked.devices_per_job, promised=promised)
    start = partial(SrunRanks, asked) if asked.nodes_per_job > 1 else Child
    status = supervise(str(own_job(Path(folder))), asked, {**environment, **place}, start=start)
    number = own_number()
    if status == EX_PREEMPTED and number is not None and state_of(number) == "RUNNING":
        requeue(number)  # where that fails, the run's next look at the queue submits the job again
    sys.exit(status)


def own_job(folder: Path) -> Path:
    """Return the job directory of the array's task that this process is in; all tasks are started in the same way."""
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return jobs_of(folder)[index]


def gpu_place(variables: Mapping[str, str], devices: int, *, promised: bool) -> dict[str, str]:
    """Return what tells a worker of the GPUs that Slurm gave this job, asked for or not.

    A partition or a plug-in can give GPUs unasked, so Slurm's own word counts. Without any, those of the node are
    hidden: where Slurm does not confine jobs, they are another's.

    Args:
        variables: those of this process.
        devices: how many a job uses on a node.
        promised: whether GPUs were asked for.
    """
    count = variables.get("SLURM_GPUS_ON_NODE", "0")
    names = variables.get("SLURM_STEP_GPUS") or variables.get("SLURM_JOB_GPUS") or ""
    has_gpus = names != "" or (count.isdecimal() and int(count) > 0)
    if has_gpus or promised:
        return {DEVICES_VARIABLE: str(devices)}
    return {DEVICES_VARIABLE: "0", VISIBLE_VARIABLE: ""}
