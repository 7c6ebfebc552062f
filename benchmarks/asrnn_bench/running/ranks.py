"""The processes that train one job together, by PyTorch's names: rank, local rank, world size.

A supervisor starts every rank itself and tells each by environment variables who it is, so Lightning starts none.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from asrnn.errors import UsageError

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
