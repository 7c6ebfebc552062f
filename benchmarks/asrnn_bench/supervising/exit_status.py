"""Explain the exit status of a worker that could not write its reason itself."""

import signal
from contextlib import suppress
from pathlib import Path

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.ends import KIND_OF_EXIT_STATUS, EndKind
from asrnn_bench.jobs.handover import STOP_SIGNALS


def explain(attempt: Attempt, code: int, *, memory_ran_out: bool) -> tuple[EndKind, str]:
    """Return the kind of an attempt's end, and its reason.

    Args:
        attempt: the attempt.
        code: the exit status of its worker, negative for a signal; srun adds 128 to a signal.
        memory_ran_out: whether Linux killed processes for lack of memory in the meantime.
    """
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if code == 0:
        return "no-result", "ended with exit status 0 and no result"
    if code in KIND_OF_EXIT_STATUS:
        return KIND_OF_EXIT_STATUS[code], f"ended with exit status {code}"
    if number == signal.SIGKILL and memory_ran_out:
        return "out-of-memory", "killed by Linux, as memory ran out"
    if number in STOP_SIGNALS:
        return "preempted", f"ended by {signal.Signals(number).name} before it could listen to it"
    if number:
        return "killed", f"killed by signal {number}"
    if attempt.has_started():
        return "exception", f"ended with exit status {code}: {_last_line(attempt.log)}"
    return "not-started", f"the worker did not start (exit status {code}): {_last_line(attempt.log)}"


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"
    return "no message"
