"""One job on several nodes: ``srun`` starts its processes, within the Slurm job that its supervisor is in."""

import os
import signal
import time

from asrnn.errors import UsageError
from asrnn_bench.jobs.handover import RUNNER_VARIABLE, SLURM_RANKS_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.processes import Process

ASK_SIGNAL = signal.SIGUSR2
"""What asks ranks on several nodes to save and end: ``srun`` hands it on, whereas at SIGTERM it kills them at once."""

KILL_SECONDS = 10.0
POLL_SECONDS = 0.05


def rank_command(options: Options) -> list[str]:
    """Return the words before a worker's command that start it once for each rank, on all nodes of this Slurm job.

    Raises:
        UsageError: this process is in no Slurm job.
    """
    number = os.environ.get("SLURM_JOB_ID")
    if number is None:
        raise UsageError("a job on several nodes runs in Slurm only: --launcher slurm")
    return [
        "srun",
        f"--jobid={number}",
        "--overlap",  # the supervisor's own step holds all of the Slurm job
        f"--nodes={options.nodes_per_job}",
        f"--ntasks={options.world_size}",
        f"--ntasks-per-node={options.devices_per_job}",
        "--distribution=block",
        "--export=ALL",
        "--mpi=none",
        "--kill-on-bad-exit=1",
        # The ranks are children of Slurm's own process on their node, and end with that.
        *("env", "-u", RUNNER_VARIABLE, f"{SLURM_RANKS_VARIABLE}=1"),
    ]


def end_ranks(process: Process) -> None:
    """Kill the ranks that an ``srun`` started; if it were killed itself, they would go on."""
    process.ask(signal.SIGTERM)
    deadline = time.monotonic() + KILL_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
