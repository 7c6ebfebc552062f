"""The variables by which a runner and its workers know each other."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from asrnn.errors import UsageError

WORKER_VARIABLE = "ASRNN_BENCH_WORKER"
"""Set in a worker, to its job directory: a model's file that starts a run there would start runs without end."""

RUNNER_VARIABLE = "ASRNN_BENCH_RUNNER"
"""Set by whoever starts a worker, to its own process id: the worker ends with it."""

ATTEMPT_VARIABLE = "ASRNN_BENCH_ATTEMPT"
"""Set by a supervisor, to the number of the attempt that it has claimed for its worker."""

CORES_VARIABLE = "ASRNN_BENCH_CORES"
"""Set by a local runner, to the cores that a worker keeps to."""

DEVICES_VARIABLE = "ASRNN_BENCH_DEVICES"
"""Set by a launcher, to how many GPUs a worker has on its node: one that sees fewer must not train."""

SLOTS_VARIABLE = "ASRNN_BENCH_SLOTS"
"""Set by a local runner, to how many jobs it runs at a time on its machine: they share memory and caches."""

JOBS_PER_DEVICE_VARIABLE = "ASRNN_BENCH_JOBS_PER_DEVICE"
"""Set by a runner, to how many jobs share one device."""

KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
"""Let glibc reuse large buffers, which it otherwise returns and asks for anew, page by page, at every step.

One training step of ``torch.nn.LSTM`` on one thread took 166 ms with them and 330 ms without, at B = 64, T = 784,
I = 1, H = 64; no number changes.
"""


def end_with_parent() -> None:
    """Ask Linux to end this process when the one that started it is gone, so that no orphan holds a device."""
    parent = int(os.environ.get(RUNNER_VARIABLE) or os.getppid())
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


SLURM_RANKS_VARIABLE = "ASRNN_BENCH_SLURM_RANKS"
"""Set where ``srun`` starts the ranks: which of them a process is stands in Slurm's own variables."""


@dataclass(frozen=True)
class Rank:
    """Which of a job's processes this one is."""

    number: int = 0
    local: int = 0
    node: int = 0
    world_size: int = 1

    @classmethod
    def from_environment(cls, world_size: int, per_node: int, variables: Mapping[str, str] = os.environ) -> Self:
        """Return this process's rank, as its supervisor or ``srun`` told it.

        Raises:
            UsageError: it was told nothing, and the job has several processes.
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
        """Return what tells a process its rank, in the words of torch.distributed and Lightning."""
        return {
            "LOCAL_RANK": str(self.local),
            "NODE_RANK": str(self.node),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }


STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers send ahead of a preemption or a time limit, and a runner that is interrupted."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What ends a run in order, as an interrupt from the keyboard does; SIGHUP comes when a login shell goes."""


LONGEST_START_SECONDS = 600.0
"""How long a start may take before silence follows, as of a training that hangs."""
