"""Ask another process to build a model and run it; the process starts with the first request."""

import atexit
import io
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import torch

from asrnn.registry import ModelSource

TIMEOUT_SECONDS = 300.0


class SpawnedError(Exception):
    """The other process could not do what it was asked. The message is one line."""


class UnplainError(Exception):
    """A message contains more than plain values and tensors."""


@dataclass(frozen=True, slots=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    requests: IO[bytes]
    answers: IO[bytes]


_child: _Child | None = None


def as_plain(source: ModelSource) -> dict[str, Any]:
    """Return a model's source as a mapping of plain values."""
    return {"name": source.name, "origin": source.origin, "target": source.target, "code": dict(source.code)}


def send(stream: IO[bytes], message: object) -> None:
    """Write a message of plain values and tensors: its length in eight bytes, then the bytes of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(message, buffer)
    stream.write(len(buffer.getvalue()).to_bytes(8, "big") + buffer.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a message; no code in it is run.

    Raises:
        EOFError: the other side has ended.
        UnplainError: it contains more than plain values and tensors.
    """
    size = stream.read(8)
    message = stream.read(int.from_bytes(size, "big"))
    if len(size) < 8 or len(message) < int.from_bytes(size, "big"):
        raise EOFError
    try:
        return torch.load(io.BytesIO(message), weights_only=True)
    except Exception as error:  # torch names pickle's own
        raise UnplainError(str(error).splitlines()[0]) from error


def ask(what: str, request: dict[str, Any]) -> Any:
    """Return the answer of the other process, which can import what this process can import.

    Args:
        what: one of the requests of ``asrnn.contract.spawned_child``.
        request: its arguments, as plain values and tensors.

    Raises:
        SpawnedError: the request failed there; the message says why.
    """
    child = _running_child()
    common = {"path": sys.path, "threads": torch.get_num_threads()}
    timer = threading.Timer(TIMEOUT_SECONDS, child.process.kill)
    timer.daemon = True
    timer.start()
    try:
        send(child.requests, (what, common, request))
        done, answer = receive(child.answers)
    except (EOFError, OSError) as error:
        late = not timer.is_alive()
        status = _end(child)
        if late:
            raise SpawnedError(f"the other process gave no answer within {TIMEOUT_SECONDS:.0f} s") from error
        raise SpawnedError(f"the other process was ended, with exit status {status}") from error
    finally:
        timer.cancel()
    if not done:
        raise SpawnedError(answer)
    return answer


def _running_child() -> _Child:
    """Return the process, which all checks share because it has to import torch."""
    global _child
    if _child is None or _child.process.poll() is not None:
        # A plain process, not one of multiprocessing: that would import the user's script, main guard or not.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "asrnn.contract.spawned_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
        )
        assert process.stdin is not None  # noqa: S101 - for the type: it was asked for
        assert process.stdout is not None  # noqa: S101
        _child = _Child(process, process.stdin, process.stdout)
        atexit.register(_end, _child)
    return _child


def _end(child: _Child) -> int:
    atexit.unregister(_end)
    child.process.kill()
    status = child.process.wait()
    for stream in (child.requests, child.answers):
        with suppress(OSError):  # what was not sent is lost with the process
            stream.close()
    return status
