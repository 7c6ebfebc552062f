"""What Slurm runs on a node: one job under its supervisor, put back into the queue where it was told to stop."""

import sys

from asrnn_bench.running.attempts import EX_PREEMPTED
from asrnn_bench.running.launchers.slurm_commands import own_number, requeue, state_of
from asrnn_bench.running.options import Options
from asrnn_bench.running.supervision import supervise


def run_task(path: str, options: str, environment: dict[str, str]) -> None:
    """Supervise the job of a directory and exit: 0 where it is settled, 75 where it was stopped.

    A job that was told to stop ahead of a time limit or a preemption still counts as running, and would have ended with
    its process: it is queued again here. One that Slurm is ending itself, by ``scancel`` say, is left to Slurm.

    Args:
        path: the job directory.
        options: how to run it, as JSON.
        environment: what its worker gets beside this process's environment.
    """
    status = supervise(path, Options.model_validate_json(options), environment)
    number = own_number()
    if status == EX_PREEMPTED and number is not None and state_of(number) == "RUNNING":
        requeue(number)  # where that fails, the run's next look at the queue submits the job again
    sys.exit(status)
