"""Run measurements in child processes, one at a time, each with its threads set before it imports torch."""

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
"""-P keeps files in the current folder from replacing modules."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ChildError(AsrnnError):
    """The process ended without an answer, for example for lack of memory. The message is one line."""


def ask(
    question: str,
    threads: int,
    request: Answer,
    on_round: Callable[[int], None] = lambda number: None,
    *,
    as_in_jobs: bool = True,
) -> Answer:
    """Start a process that answers a question of ``child.ANSWERS``, and return its answer.

    Args:
        question: the key in ``child.ANSWERS``.
        threads: the number of threads of the process.
        request: the arguments of the question.
        on_round: called with the number of each round that ends.
        as_in_jobs: use the settings of a job for memory and subnormal numbers, otherwise the defaults.

    Raises:
        ChildError: the process ended without an answer.
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
            process_group=0,  # an interrupt goes to this process only, which then kills its child
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
    """Return the environment with the threads set, and with or without a job's settings of the allocator."""
    variables = {**KEEP_BUFFERS, **own} if as_in_jobs else {k: v for k, v in own.items() if k not in KEEP_BUFFERS}
    return variables | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _listen(lines: Iterable[bytes], on_round: Callable[[int], None]) -> Answer | None:
    """Read lines until the answer, and return it, or None if the process ends before."""
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
