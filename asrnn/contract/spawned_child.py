"""Build and run models at the request of another process: ``python -m asrnn.contract.spawned_child``."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asrnn.contract.checks.resuming import go_on_from
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.running import RaisedError
from asrnn.contract.spawned import UnplainError, receive, send
from asrnn.memory import peak_mib
from asrnn.models import RecurrentModel
from asrnn.ops import free_buffers
from asrnn.registry import ModelSource

WARM_UP_STEPS, ROUNDS = 8, 3


def main() -> None:
    """Answer requests until the other side has ended; what a model prints is discarded."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nowhere, stream)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            try:
                what, common, request = receive(requests)
            except UnplainError:
                send(answers, (False, "a hyper-parameter is no plain value, as none of a job can be"))
                continue
            sys.path[:] = common["path"]
            torch.set_num_threads(common["threads"])
            send(answers, _answer(what, request))


def _answer(what: str, request: dict[str, Any]) -> tuple[bool, Any]:
    try:
        return True, _ANSWERS[what](**request)
    except RaisedError as error:
        return False, _line(error.cause)
    except (Exception, SystemExit) as error:  # whatever a model does here, the process goes on to the next one
        return False, _line(error)


def _line(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _go_on(
    source: dict[str, Any], hyper: dict[str, object], sizes: dict[str, Any], shortened: int, saved: bytes
) -> dict[str, Any]:
    subject = ModelUnderTest(ModelSource(**source), hyper, **sizes)
    subject.shortened = shortened  # as there, whatever the clock says here
    with torch.compiler.set_stance("force_eager"):
        return asdict(go_on_from(subject, saved))


def _measure(
    source: dict[str, Any], hyper: dict[str, object], sizes: dict[str, Any], shape: tuple[int, int]
) -> list[tuple[float, float | None]]:
    """Measure forward and backward of a model and of torch's LSTM: seconds, and MiB if they can be read.

    The two take turns, and the fastest of a few steps counts. Memory is the peak above the memory before.
    """
    subject = ModelUnderTest(ModelSource(**source), hyper, **sizes)
    lstm = nn.LSTM(subject.input_size, subject.hidden_size, batch_first=True).to(subject.device)
    modules: list[nn.Module] = [subject.build().train(), lstm]
    x = subject.sequences(*shape)
    memory = [_peak_mib(module, x) for module in modules]
    rounds = [[_step_seconds(module, x) for module in modules] for _ in range(ROUNDS)]
    return [(min(seconds), peak) for *seconds, peak in zip(*rounds, memory, strict=True)]


def _step_seconds(module: nn.Module, x: Tensor) -> float:
    began = time.perf_counter()
    module.zero_grad()
    output = module(x) if isinstance(module, RecurrentModel) else module(x)[0]
    output.sum().backward()
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _peak_mib(module: nn.Module, x: Tensor) -> float | None:
    """Return the peak memory of a step above the memory before, in MiB; None without ``/proc``."""
    _step_seconds(module, x[:, :WARM_UP_STEPS])
    free_buffers()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what glibc holds of earlier models would be missing from the peak
    return peak_mib(partial(_step_seconds, module, x), x.device.type)


_ANSWERS: dict[str, Callable[..., Any]] = {"go on": _go_on, "measure": _measure}


if __name__ == "__main__":
    main()
