"""Measure in a process that imports torch: ``python -m asrnn_bench.speed.child REQUEST``, answered in lines of JSON.

The environment holds the number of threads from the start, because torch reads it once. The process writes a line after
each round, so that it soon fails and ends when its parent is gone. The last line is the answer.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

import torch

from asrnn.errors import AsrnnError
from asrnn.memory import peak_mib
from asrnn_bench.speed.contenders import Contender
from asrnn_bench.speed.floor import COPIED_FLOATS
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.training_step import JaxTraining, TrainingStep, make_batch, make_step
from asrnn_bench.worker.provenance import environment

Answer = dict[str, Any]
Tell = Callable[[Answer], None]

PRODUCT = "matrix product"
COPY = "copy of many floats"
WARM_UP_SHARE = 8
"""The warm-up of timing runs a step on one eighth of the sequence, which loads, compiles and selects all code."""

WARM_UP_STEPS = 2
"""The time steps in the warm-up of memory. They are few, because the peak lacks memory that the allocator has kept."""


def describe(request: Answer, tell: Tell) -> Answer:
    """Describe the device to be timed: the GPU if there is one and the request has no ``on_cpu``, otherwise the CPU."""
    device = "cuda" if torch.cuda.is_available() and not request["on_cpu"] else "cpu"
    return {"device": device, "environment": environment()}


def time_size(request: Answer, tell: Tell) -> Answer:
    """Time the training steps of all contenders at one size, in turns with a square matrix product and a copy.

    The request has ``device``, ``threads``, ``size``, ``contenders``, ``rounds`` and ``square``, the side of the
    matrices. With 0 neither the product nor the copy is timed.
    """
    size, device = Size(*request["size"]), request["device"]
    torch.set_num_threads(request["threads"])
    x, y = make_batch(size, device)
    steps: dict[str, Callable[[], None]] = {}
    reasons: dict[str, str] = {}
    built: dict[str, TrainingStep | JaxTraining] = {}
    if request["square"]:
        steps |= {PRODUCT: _product(request["square"], device), COPY: _copy(device)}
        for probe in steps.values():
            probe()
    for contender in (Contender(**fields) for fields in request["contenders"]):
        try:
            step = built[contender.name] = make_step(contender, size, device, request["threads"])
            # XLA compiles for one length only
            step(x if contender.kind == "jax" else x[:, : max(1, size.num_steps // WARM_UP_SHARE)], y)
            steps[contender.name] = partial(built[contender.name], x, y)
        except Exception as error:  # a model may fail in any way; the others are still timed
            reasons[contender.name] = _reason(error)
    seconds, failed = time_rounds(steps, request["rounds"], after_round=lambda number: tell({"round": number}))
    return {
        "product_seconds": seconds.pop(PRODUCT, []),
        "copy_seconds": seconds.pop(COPY, []),
        "seconds": seconds,
        "reasons": reasons | failed,
        "scan_backends": {name: built[name].scan_backend for name in seconds},
    }


def measure_memory(request: Answer, tell: Tell) -> Answer:
    """Measure the peak memory of a training step. The request has ``device``, ``threads``, ``size``, ``contender``."""
    size, device = Size(*request["size"]), request["device"]
    torch.set_num_threads(request["threads"])
    contender = Contender(**request["contender"])
    if contender.kind == "jax":
        return {}  # memory that the compilation in its first step leaves would be missing from the peak of a second
    x, y = make_batch(size, device)
    try:
        step = TrainingStep(contender, size, device)
        step(x[:, :WARM_UP_STEPS], y)
        return {"peak_mib": peak_mib(partial(step, x, y), device)}
    except Exception as error:  # a model may fail in any way; its row says so
        return {"reason": _reason(error)}


def time_rounds(
    steps: Mapping[str, Callable[[], None]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    after_round: Callable[[int], None] = lambda number: None,
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Time all steps in turns: call each once per round, so that whatever the machine does affects all of them alike.

    Args:
        steps: the steps to time, by name.
        rounds: the number of calls of each step.
        clock: returns the time in seconds.
        after_round: called after each round with its number, from 1.

    Returns:
        the seconds of each call by name, without the steps that failed; and the reason of each failure by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    reasons: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for name in list(seconds):
            start = clock()
            try:
                steps[name]()
            except Exception as error:  # a model may fail in any way; the others are still timed
                del seconds[name]
                reasons[name] = failure(error)
            else:
                seconds[name].append(clock() - start)
        after_round(number)
    return seconds, reasons


def failure(error: Exception) -> str:
    """Return the type and message of an error, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


ANSWERS: dict[str, Callable[[Answer, Tell], Answer]] = {
    "describe": describe,
    "time": time_size,
    "memory": measure_memory,
}


def main() -> int:
    """Answer one request."""
    with _answers_only() as output:

        def tell(answer: Answer) -> None:
            output.write(json.dumps(answer, allow_nan=False) + "\n")
            output.flush()

        request = json.loads(sys.argv[1])
        torch.set_flush_denormal(request["as_in_jobs"])
        tell({"answer": ANSWERS[request["ask"]](request, tell)})
    return 0


def _product(side: int, device: str) -> Callable[[], None]:
    left, right = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    out = torch.empty_like(left)

    def multiply() -> None:
        torch.mm(left, right, out=out)
        if device == "cuda":
            torch.cuda.synchronize()

    return multiply


def _copy(device: str) -> Callable[[], None]:
    source = torch.ones(COPIED_FLOATS, device=device)
    target = torch.zeros_like(source)

    def copy() -> None:
        target.copy_(source)
        if device == "cuda":
            torch.cuda.synchronize()

    return copy


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, AsrnnError) else failure(error)


@contextmanager
def _answers_only() -> Iterator[TextIO]:
    """Reserve standard output for the answers, and redirect what models print to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        yield output


if __name__ == "__main__":
    sys.exit(main())
