"""One other process, spawned when it is first asked, that a model is sent to: each asks what it gives there."""

import ctypes
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
from torch import Tensor, nn

from asrnn.errors import UsageError
from asrnn.memory import peak_mib
from asrnn.ops import free_buffers
from asrnn.registry import ModelSource, load_model

NAME = "asrnn-contract"
TIMEOUT_SECONDS = 120.0
WARM_UP_STEPS, ROUNDS = 8, 3


class SpawnedError(Exception):
    """The other process could not do what it was asked; the message is one line."""


@dataclass(frozen=True, slots=True)
class _Child:
    process: SpawnProcess
    connection: "Connection[Any, Any]"


_child: _Child | None = None


def refuse_there() -> None:
    """Stop a script that calls a check where the other process imports it to begin with, as it would without end.

    Raises:
        UsageError: this is the other process.
    """
    if multiprocessing.current_process().name == NAME:
        raise UsageError("a script that checks a model does so under: if __name__ == '__main__':")


def outputs_there(source: ModelSource | None, module: nn.Module, x: Tensor) -> Tensor:
    """Return what a module gives out in the other process: the first of its outputs, for an input.

    Args:
        source: where the module's class comes from, if that is known: a file is not found by its name alone.
        module: it is pickled, and so is the input.
        x: the input.

    Raises:
        SpawnedError: it could not be done there; the message says why.
        UsageError: no process can be spawned from this one.
        Exception: whatever pickling raises here.
    """
    found: Tensor = _ask(source, ("run", torch.get_num_threads(), module, x))
    return found


def steps_there(source: ModelSource | None, modules: list[nn.Module], x: Tensor) -> list[tuple[float, float | None]]:
    """Return what a forward and backward of each module takes in the other process: seconds, and on Linux MiB.

    The modules take their steps in turns, and the quickest of a few counts; memory is the peak above what was there.

    Raises:
        SpawnedError: it could not be done there; the message says why.
        Exception: whatever pickling raises here.
    """
    found: list[tuple[float, float | None]] = _ask(source, ("measure", torch.get_num_threads(), modules, x))
    return found


def _ask(source: ModelSource | None, request: tuple[Any, ...]) -> Any:
    child = _running_child()
    try:
        if source is not None:  # before the module, which cannot be unpickled without it
            child.connection.send(("load", source))
            _answer(child)
        child.connection.send(request)
        return _answer(child)
    except (EOFError, OSError) as error:
        _end(child)
        raise SpawnedError(f"the spawned process was ended, with exit status {child.process.exitcode}") from error


def _answer(child: _Child) -> Any:
    if not child.connection.poll(TIMEOUT_SECONDS):
        _end(child)
        raise SpawnedError(f"the spawned process gave no answer within {TIMEOUT_SECONDS:.0f} s")
    done, answer = child.connection.recv()
    if not done:
        raise SpawnedError(answer)
    return answer


def _running_child() -> _Child:
    """Return the one process that all checks share, as it has torch to import."""
    global _child
    if _child is None or not _child.process.is_alive():
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there,), daemon=True, name=NAME)
        process.start()
        there.close()
        child = _Child(process, here)
        try:
            _answer(child)
        except (EOFError, OSError) as error:
            _end(child)
            raise UsageError(
                "no process can be spawned from here: what a script does must stand in a file, and there under: "
                "if __name__ == '__main__':"
            ) from error
        _child = child
    return _child


def _end(child: _Child) -> None:
    child.process.kill()
    child.process.join()
    child.connection.close()


def _serve(connection: "Connection[Any, Any]") -> None:
    """Answer requests until the other side is gone."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        connection.send((True, "ready"))
        while True:
            try:
                what, *rest = connection.recv()
                answer = (True, _ANSWERS[what](*rest))
            except (EOFError, OSError):
                raise
            except Exception as error:  # whatever a model does there, the process goes on to the next one
                answer = (False, f"{type(error).__name__}: {' '.join(str(error).split())}")
            connection.send(answer)


def _load(source: ModelSource) -> None:
    load_model(source)


def _run(threads: int, module: nn.Module, x: Tensor) -> Tensor:
    torch.set_num_threads(threads)
    with torch.no_grad():
        return _first(module, x).clone()


def _measure(threads: int, modules: list[nn.Module], x: Tensor) -> list[tuple[float, float | None]]:
    torch.set_num_threads(threads)
    memory = [_peak_mib(module, x) for module in modules]
    rounds = [[_step_seconds(module, x) for module in modules] for _ in range(ROUNDS)]
    return [(min(seconds), peak) for *seconds, peak in zip(*rounds, memory, strict=True)]


def _step_seconds(module: nn.Module, x: Tensor) -> float:
    began = time.perf_counter()
    module.zero_grad()
    _first(module, x).sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began


def _peak_mib(module: nn.Module, x: Tensor) -> float | None:
    """Return by how many MiB a step's memory rises above what was there; None where there is no ``/proc``."""
    _step_seconds(module, x[:, :WARM_UP_STEPS])
    free_buffers()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what glibc holds of earlier models would be missing from the peak
    return peak_mib(partial(_step_seconds, module, x), "cpu")


def _first(module: nn.Module, x: Tensor) -> Tensor:
    output = module(x)
    first: Tensor = output[0] if isinstance(output, tuple | list) else output
    return first


_ANSWERS: dict[str, Callable[..., Any]] = {"load": _load, "run": _run, "measure": _measure}
