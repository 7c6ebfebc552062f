"""Make the commands that start the processes of an attempt: one for each rank of a job."""

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.handover import ATTEMPT_VARIABLE, KEEP_BUFFERS, Rank
from asrnn_bench.jobs.options import Options


class Command(NamedTuple):
    """The words of a command, its environment, and the file for its output."""

    words: list[str]
    environment: dict[str, str]
    log: Path


def worker_commands(path: Path, attempt: Attempt, options: Options, *, place: Mapping[str, str]) -> list[Command]:
    """Return a command for each process of an attempt that this host starts.

    A job on several nodes has one command. Its ``Start`` runs the command once for each rank.

    Args:
        path: the job directory.
        attempt: the attempt.
        options: how the job is run.
        place: environment variables that keep the worker on its device or cores.

    Raises:
        OSError: this host has no free port for the ranks.
    """
    words = worker_words(path)
    shared = {**KEEP_BUFFERS, **os.environ, **options.environment(), **place, ATTEMPT_VARIABLE: str(attempt.number)}
    count, port = options.devices_per_job, free_port()
    if options.nodes_per_job > 1:
        address = {"MASTER_ADDR": os.uname().nodename, "MASTER_PORT": str(port)}
        return [Command(words, shared | address, attempt.log)]
    if count == 1:
        return [Command(words, shared, attempt.log)]
    ranks = [Rank(number, number, 0, count) for number in range(count)]
    logs = [attempt.log, *(attempt.path / f"worker.rank-{number}.log" for number in range(1, count))]
    return [
        Command(words, shared | rank.environment("127.0.0.1", port), log) for rank, log in zip(ranks, logs, strict=True)
    ]


def worker_words(path: Path) -> list[str]:
    """Return the command of a worker on a job directory."""
    # -P: files in the folder where the run was started are no part of a job.
    return [sys.executable, "-P", "-m", "asrnn_bench.worker", str(path)]


def free_port() -> int:
    """Return a port of this host on which no process listens.

    The port is below those that Linux assigns by itself (32768 and up). One of those would be free now, but in the
    seconds before a rank listens on it, Linux could assign it to another process, such as ``srun``.

    Raises:
        OSError: none was found.
    """
    for _ in range(100):
        port = 20000 + secrets.randbelow(12768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("", port))
            return port
    raise OSError("no free port between 20000 and 32767 was found for the ranks of a job")
