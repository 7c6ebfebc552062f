"""Run one job on the node that Ray chose: the function of a Ray task."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.supervise import supervise

RAYLET_SECONDS = 1.0
SIGHT_SECONDS = 60.0
"""How long a node may take to see a new folder: NFS caches a missing name at most so long, by default."""


def supervise_job(path: str, options: dict[str, Any], environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Supervise one job in a process of Ray. Arguments and result are plain data.

    Args:
        path: the job directory.
        options: how the job runs, as a dictionary.
        environment: variables of the worker.

    Returns:
        the status of ``supervise`` and what it could not write to the directory, or ``None`` and why it did not begin.
    """
    os.environ.pop("RAY_AUTH_TOKEN", None)  # Ray has read it, and the code of a model must not
    Thread(target=_stop_with_raylet, args=(os.getppid(),), daemon=True).start()
    until = time.monotonic() + SIGHT_SECONDS
    while not (Path(path) / "job.json").exists() and time.monotonic() < until:
        time.sleep(1.0)
    words: list[str] = []
    try:
        status = supervise(path, Options.model_validate(options), environment, words.append)
        return status, "".join(f"{os.uname().nodename}: {each}" for each in words)
    except UsageError as error:
        return None, f"{os.uname().nodename}: {error}"


def _stop_with_raylet(raylet: int) -> None:
    """Have the job save and end when its node leaves the cluster, because Ray lets the task run on."""
    while os.getppid() == raylet:
        time.sleep(RAYLET_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
