"""Run one job on a node of Slurm: ``python -m asrnn_bench.launching.slurm.task OPTIONS_FILE [--gpus] JOBDIR``.

``--gpus`` says that GPUs were asked for. Exit status: 0 the job is settled; 2 there is no such job; 75 it was asked to
stop, and Slurm or the run starts it again.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.jobs.ends import EX_PREEMPTED
from asrnn_bench.jobs.handover import DEVICES_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.commands import own_job_id, requeue, state_of
from asrnn_bench.launching.slurm.ranks import SrunRanks
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE
from asrnn_bench.supervising.processes import Child
from asrnn_bench.supervising.supervise import supervise


def main(words: Sequence[str]) -> int:
    """Supervise the job, and put it back into the queue if it was asked to stop.

    Slurm does not requeue a job that ends after a warning of its time limit or preemption, so this function does. It
    requeues only a job that Slurm still counts as running, and not one that Slurm is ending, as after ``scancel``.
    """
    parser = argparse.ArgumentParser(prog="python -m asrnn_bench.launching.slurm.task")
    parser.add_argument("options_file", type=Path)
    parser.add_argument("job_directory")
    parser.add_argument("--gpus", action="store_true", help="GPUs were asked for")
    asked = parser.parse_args(words)
    try:
        options = Options.model_validate_json(wait_out(lambda: asked.options_file.read_text(encoding="utf-8")))
        variables = gpu_variables(os.environ, options.devices_per_job, promised=asked.gpus)
        start = partial(SrunRanks, options) if options.nodes_per_job > 1 else Child
        status = supervise(asked.job_directory, options, variables, start=start)
    except (OSError, UsageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    job_id = own_job_id()
    if status == EX_PREEMPTED and job_id is not None and state_of(job_id) == "RUNNING":
        requeue(job_id)  # if that fails, the run finds the job missing from the queue and submits it again
    return status


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
