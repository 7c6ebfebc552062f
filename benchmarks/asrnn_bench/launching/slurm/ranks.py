"""Start the processes of a job on several nodes by ``srun``, within the Slurm job of its supervisor."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.jobs.handover import RUNNER_VARIABLE, SLURM_RANKS_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.processes import Child

ASK_SIGNAL = signal.SIGUSR2
"""The signal that asks ranks to save and end. ``srun`` forwards it; at SIGTERM ``srun`` kills them at once."""

KILL_SECONDS = 10.0
POLL_SECONDS = 0.05


class SrunRanks(Child):
    """All ranks of a job, as the one ``srun`` process that starts them.

    Args:
        options: how the job is run: its nodes, and its devices on each.
        words: the command of a worker.
        environment: its environment.
        log: the file for the output of all ranks.

    Raises:
        UsageError: this process is in no Slurm job.
    """

    def __init__(self, options: Options, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        super().__init__([*rank_command(options), *words], environment, log)
        self._is_told_to_kill = False

    def ask(self, number: int) -> None:
        """Ask the ranks to save and end; ``srun`` would kill them at SIGTERM."""
        super().ask(ASK_SIGNAL if number == signal.SIGTERM else number)

    def end(self) -> None:
        """Let ``srun`` kill the ranks, for at most 10 s; if ``srun`` were killed first, they would go on."""
        if self.poll() is None and not self._is_told_to_kill:
            self._is_told_to_kill = True
            super().ask(signal.SIGTERM)
            deadline = time.monotonic() + KILL_SECONDS
            while self.poll() is None and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        super().end()


def rank_command(options: Options) -> list[str]:
    """Return the words that, before a worker's command, start it once for each rank on all nodes of this Slurm job.

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
