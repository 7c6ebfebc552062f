"""Name the environment variables and signals by which runners, supervisors and workers talk to each other."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from asrnn.errors import UsageError

WORKER_VARIABLE = "ASRNN_BENCH_WORKER"
"""Set in a worker, to its job directory, so that a model's file cannot start a run there, and so on without end."""

RUNNER_VARIABLE = "ASRNN_BENCH_RUNNER"
"""Set for a worker, to the number of the process that starts it. The worker ends with that process."""

ATTEMPT_VARIABLE = "ASRNN_BENCH_ATTEMPT"
"""Set by a supervisor, to the number of the attempt that it claimed for its worker."""

CORES_VARIABLE = "ASRNN_BENCH_CORES"
"""Set by a local runner, to the cores of a worker."""

DEVICES_VARIABLE = "ASRNN_BENCH_DEVICES"
"""Set by a launcher, to the number of GPUs of a worker. A worker that sees fewer must not train."""

SLOTS_VARIABLE = "ASRNN_BENCH_SLOTS"
"""Set by a local runner, to the number of jobs that it runs at a time: they share memory and caches."""

JOBS_PER_DEVICE_VARIABLE = "ASRNN_BENCH_JOBS_PER_DEVICE"
"""Set by a runner, to the number of jobs that share one device."""

KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
"""Make glibc keep large buffers, which it otherwise returns to Linux and requests again at every step.

One training step of ``torch.nn.LSTM`` on one thread took 166 ms with them and 330 ms without, at B = 64, T = 784,
I = 1, H = 64; no number changes.
"""


def end_with_parent() -> None:
    """Ask Linux to kill this process when the process that started it ends, so that no orphan holds a device."""
    parent = int(os.environ.get(RUNNER_VARIABLE) or os.getppid())
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


SLURM_RANKS_VARIABLE = "ASRNN_BENCH_SLURM_RANKS"
"""Set if ``srun`` starts the ranks. Then Slurm's own variables hold the rank of a process."""


@dataclass(frozen=True)
class Rank:
    """The position of this process among the processes of a job."""

    number: int = 0
    local: int = 0
    node: int = 0
    world_size: int = 1

    @classmethod
    def from_environment(cls, world_size: int, per_node: int, variables: Mapping[str, str] = os.environ) -> Self:
        """Return the rank of this process, which its supervisor or ``srun`` set.

        Raises:
            UsageError: the job has several processes, and no rank is set.
        """
        if world_size == 1:
            return cls()
        names = ("SLURM_LOCALID", "SLURM_NODEID") if SLURM_RANKS_VARIABLE in variables else ("LOCAL_RANK", "NODE_RANK")
        try:
            local, node = (int(variables[name]) for name in names)
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"one of {world_size} processes of a job was started without {' and '.join(names)}"
            ) from error
        return cls(node * per_node + local, local, node, world_size)

    def environment(self, address: str, port: int) -> dict[str, str]:
        """Return the variables that tell a process its rank, as torch.distributed and Lightning name them."""
        return {
            "LOCAL_RANK": str(self.local),
            "NODE_RANK": str(self.node),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }


STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""The signals of schedulers before a preemption or a time limit, and of an interrupted runner."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that end a run in order, as Ctrl-C does; SIGHUP comes when a login shell ends."""


LONGEST_START_SECONDS = 600.0
"""How long processor time counts as progress of a worker that has not reported any yet."""
