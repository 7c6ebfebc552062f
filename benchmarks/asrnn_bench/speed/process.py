"""Asks the process that has torch, one at a time, each with its threads set before torch is imported."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import IO, Any

from asrnn.errors import AsrnnError
from asrnn_bench.jobs.handover import KEEP_BUFFERS

Answer = dict[str, Any]

_COMMAND = ["-P", "-m", "asrnn_bench.speed.child"]
"""-P: what happens to lie in the current folder must not replace a module."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ChildError(AsrnnError):
    """The process ended without an answer: killed for its memory, say; the message is one line."""


def ask(
    question: str,
    threads: int,
    request: Answer,
    on_round: Callable[[int], None] = lambda number: None,
    *,
    as_in_jobs: bool = True,
) -> Answer:
    """Start a process with so many threads, put it a question of ``child.ANSWERS``, and return its answer.

    It has the settings of a job, for memory and for subnormal numbers, or where ``as_in_jobs`` is not asked for the
    default ones.

    Raises:
        ChildError: it ended without one.
    """
    words = {"ask": question, "threads": threads, "as_in_jobs": as_in_jobs} | request
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, *_COMMAND, json.dumps(words, allow_nan=False)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(os.environ, threads, as_in_jobs=as_in_jobs),
            process_group=0,  # an interrupt is for this process, which ends its child
        ) as process,
    ):
        try:
            answer = _listen(process.stdout or (), on_round)
            if answer is None:
                process.wait()
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if answer is None:
            raise ChildError(_end(process.returncode, log))
        return answer


def child_environment(
    own: "os._Environ[str] | dict[str, str]", threads: int, *, as_in_jobs: bool = True
) -> dict[str, str]:
    """Return this environment with the threads set, and with the allocator's settings that a job has, or without."""
    variables = {**KEEP_BUFFERS, **own} if as_in_jobs else {k: v for k, v in own.items() if k not in KEEP_BUFFERS}
    return variables | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _listen(lines: Iterable[bytes], on_round: Callable[[int], None]) -> Answer | None:
    """Read until the answer; ``None`` where the process ends before it."""
    for line in lines:
        said = json.loads(line)
        if "answer" in said:
            answer: Answer = said["answer"]
            return answer
        on_round(said["round"])
    return None


def _end(code: int, log: IO[bytes]) -> str:
    log.seek(0)
    said = log.read().decode("utf-8", errors="replace").strip().splitlines()
    if code < 0:
        meaning = ", as Linux does when memory runs out" if code == -signal.SIGKILL else ""
        return f"the process was ended by signal {-code}{meaning}"
    return f"the process ended with exit status {code}: {said[-1][:300] if said else 'no message'}"
