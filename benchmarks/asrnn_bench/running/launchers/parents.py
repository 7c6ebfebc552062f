"""A process that ends with the one that started it."""

import ctypes
import os
import signal

from asrnn_bench.running.launchers.environment import RUNNER_VARIABLE


def end_with_parent() -> None:
    """Ask Linux to end this process when the one that started it is gone, so that no orphan holds a device."""
    parent = int(os.environ.get(RUNNER_VARIABLE) or os.getppid())
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)
