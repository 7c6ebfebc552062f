"""Ask torch on which GPUs it can compute, in this process or in a separate one, whose CUDA context ends with it.

``nvidia-smi`` and the environment say which GPUs a machine has. Only torch says whether they can be used. With a torch
for CPUs, an old driver, a broken GPU or a container without devices, jobs would run on the CPU, many times slower.
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asrnn.errors import DeviceError
from asrnn_bench.jobs.handover import DEVICES_VARIABLE, RUNNER_VARIABLE, end_with_parent
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE, NamedGpus, count_gpus

ASK_SECONDS = 300.0
"""Time for importing torch from a slow file system, and for starting CUDA on a node with many GPUs."""


@dataclass(frozen=True)
class TorchGpus:
    """The GPUs that torch sees: their models, and the reason why there are no more, if it is known."""

    version: str = ""
    models: tuple[str, ...] = ()
    reason: str = ""

    @property
    def count(self) -> str:
        """The number of GPUs, as a word."""
        return str(len(self.models)) if self.models else "none"


def usable_gpus(torch: Any, only: int | None = None) -> TorchGpus:
    """Return the GPUs that torch sees in this process, after a computation on each.

    Args:
        torch: the module.
        only: compute on this GPU only, so that no context is left on the GPUs of other processes.
    """
    version = str(torch.__version__)
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return TorchGpus(version, (), f"torch {version} is built without CUDA")
    models: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the error says the same
            torch.cuda.init()
            for index in range(torch.cuda.device_count()):
                if only is None or index == only:
                    torch.ones(1, device=f"cuda:{index}").add_(1).item()
                models.append(torch.cuda.get_device_name(index))
    # torch has an error type of its own for calls that waited for CUDA.
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        where = f"GPU {len(models)}: " if torch.cuda.is_initialized() else ""
        return TorchGpus(version, tuple(models), where + _first_line(str(error)))
    return TorchGpus(version, tuple(models))


def ask_torch(names: Sequence[str] | None = None) -> TorchGpus:
    """Return the GPUs that torch sees, asked in a separate process.

    Args:
        names: the GPUs that it may use; by default those of this environment. A process sees at most one MIG instance,
            so each of them has a process of its own.
    """
    if names is None:
        return _ask({})
    groups = [[name] for name in names] if any(name.startswith("MIG-") for name in names) else [list(names)]
    seen = [_ask({VISIBLE_VARIABLE: ",".join(group)}) for group in groups]
    models = tuple(model for each in seen for model in each.models)
    return TorchGpus(seen[0].version, models, next((each.reason for each in seen if each.reason), ""))


def require_named(names: Sequence[str], named: NamedGpus) -> None:
    """Check that torch can compute on every GPU that a run will use.

    Raises:
        DeviceError: it cannot; the message says which GPUs it sees, why, and how to run without GPUs.
    """
    if not names:
        return
    seen = ask_torch(names)
    if len(seen.models) < len(names):
        raise DeviceError(
            f"{named.named_by} {count_gpus(len(names))} and torch sees {seen.count}{_because(seen)}; mend that, or run "
            f"on the CPU with '{VISIBLE_VARIABLE}=' before the command; 'asrnn-bench doctor' shows what torch sees"
        )


def require_promised(local_rank: int, variables: Mapping[str, str] = os.environ) -> None:
    """Check that this process has the GPUs that its launcher promised, before it trains.

    Args:
        local_rank: the index of the GPU that it uses.
        variables: its environment.

    Raises:
        DeviceError: torch sees fewer.
    """
    promised = int(variables.get(DEVICES_VARIABLE) or 0)
    if promised == 0:
        return
    import torch

    seen = usable_gpus(torch, only=local_rank)
    if len(seen.models) < promised:
        raise DeviceError(
            f"{count_gpus(promised)} promised to this job on {os.uname().nodename} and torch sees {seen.count}"
            f"{_because(seen)} ({VISIBLE_VARIABLE}={variables.get(VISIBLE_VARIABLE, 'unset')})"
        )


def _because(seen: TorchGpus) -> str:
    return f": {seen.reason}" if seen.reason else ""


def _ask(changed: Mapping[str, str]) -> TorchGpus:
    words = [sys.executable, "-P", "-m", "asrnn_bench.worker.gpus"]
    environment = {**os.environ, **changed, RUNNER_VARIABLE: str(os.getpid())}
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=ASK_SECONDS
        )
        said = json.loads(ended.stdout.splitlines()[-1])
        return TorchGpus(said["version"], tuple(said["models"]), said["reason"])
    except subprocess.TimeoutExpired:
        return TorchGpus(reason=f"it did not answer within {ASK_SECONDS / 60:.0f} minutes")
    except (IndexError, ValueError):
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        why = lines[-1][:300] if lines else f"exit status {ended.returncode}"
        return TorchGpus(reason=f"it could not be asked: {why}")


def _first_line(text: str) -> str:
    """Return the first line of an error of CUDA, without the advice and addresses after it."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason was given")
    return line.partition(" Please ")[0].rstrip(".")[:300]


def main() -> int:
    """Print the GPUs that torch sees, as one line of JSON."""
    end_with_parent()
    import torch

    sys.stdout.write(json.dumps(asdict(usable_gpus(torch)), allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
