"""Run suites of training jobs and rank the results; ``asrnn_bench.run`` is the command line from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrnn_bench.api import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from asrnn_bench.api import run

        return run
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
