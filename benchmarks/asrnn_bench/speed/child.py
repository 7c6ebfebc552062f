"""The process that has torch: ``python -m asrnn_bench.speed.child REQUEST``, answered in lines of JSON.

The number of threads is in its environment from the start, as torch reads it once. Every line but the last says that
one more round is done, so that a process whose parent is gone ends soon.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

import torch

from asrnn.errors import AsrnnError
from asrnn.memory import peak_mib
from asrnn_bench.speed.contenders import Contender
from asrnn_bench.speed.floor import COPIED_FLOATS
from asrnn_bench.speed.rounds import failure, time_rounds
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.training_step import JaxTraining, TrainingStep, make_batch, make_step
from asrnn_bench.worker.provenance import environment

Answer = dict[str, Any]
Tell = Callable[[Answer], None]

PRODUCT = "matrix product"
COPY = "copy of many floats"
WARM_UP_SHARE = 8
"""The warm-up of timing takes a step on the first eighth of the sequence: all that runs is loaded, built and chosen."""

WARM_UP_STEPS = 2
"""The warm-up of memory is shorter: what it leaves in the allocator's hands would be missing from the peak."""


def describe(request: Answer, tell: Tell) -> Answer:
    """Say which device is timed, a GPU where there is one unless ``on_cpu`` asks for the CPU, and what it is."""
    device = "cuda" if torch.cuda.is_available() and not request["on_cpu"] else "cpu"
    return {"device": device, "environment": environment()}


def time_size(request: Answer, tell: Tell) -> Answer:
    """Time the training steps of all contenders at one size, and the square product with them.

    The request: ``device``, ``threads``, ``size``, ``contenders``, ``rounds`` and ``square``, 0 for no product. A
    copy of many floats is timed with the product.
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
            # XLA compiles for one length.
            step(x if contender.kind == "jax" else x[:, : max(1, size.num_steps // WARM_UP_SHARE)], y)
            steps[contender.name] = partial(built[contender.name], x, y)
        except Exception as error:  # whatever a model does, the others are timed
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
    """Measure the peak memory of one training step: ``device``, ``threads``, ``size``, ``contender``."""
    size, device = Size(*request["size"]), request["device"]
    torch.set_num_threads(request["threads"])
    contender = Contender(**request["contender"])
    if contender.kind == "jax":
        return {}  # its first step also compiles, and what that leaves would be missing from the peak of a second
    x, y = make_batch(size, device)
    try:
        step = TrainingStep(contender, size, device)
        step(x[:, :WARM_UP_STEPS], y)
        return {"peak_mib": peak_mib(partial(step, x, y), device)}
    except Exception as error:  # whatever a model does, it has a row that says so
        return {"reason": _reason(error)}


ANSWERS: dict[str, Callable[[Answer, Tell], Answer]] = {
    "describe": describe,
    "time": time_size,
    "memory": measure_memory,
}


def main() -> int:
    """Answer one request."""
    with _own_output() as output:

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
def _own_output() -> Iterator[TextIO]:
    """Keep standard output for the answers; what a model prints goes where errors go."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        yield output


if __name__ == "__main__":
    sys.exit(main())
