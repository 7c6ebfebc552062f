"""A machine, contenders and answers for tests of ``asrnn-bench speed``, without any measurement."""

from collections.abc import Mapping, Sequence
from typing import Any

from asrnn_bench.speed.contenders import Contender
from asrnn_bench.speed.rows import MachineDescription

MACHINE = MachineDescription("cpu", "a processor", "AVX2", "2.9.0", "abc")


def contender(name: str) -> Contender:
    """Return a contender that is never built."""
    return Contender(name, "model", name, "a package 1.0")


def timed(seconds: Mapping[str, Sequence[float]], product: Sequence[float] = ()) -> dict[str, Any]:
    """Return an answer to ``time``."""
    return {
        "product_seconds": list(product),
        "seconds": {name: list(times) for name, times in seconds.items()},
        "reasons": {},
        "scan_backends": dict.fromkeys(seconds, "loop"),
    }
