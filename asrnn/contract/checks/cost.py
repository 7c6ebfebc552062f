"""Check that work and memory grow linearly with the length, by counting operations, and time a step."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from asrnn.cells import RecurrentCell
from asrnn.cells.parts.fused import FusedCell
from asrnn.contract.check import check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.running import RaisedError, model_code, run
from asrnn.contract.spawned import SpawnedError, as_plain, ask
from asrnn.errors import AsrnnError
from asrnn.models import RecurrentModel
from asrnn.ops import free_buffers, scan_with

LENGTHS = (64, 256)
SMALL_SIZES = (8, 16, 32)
STEEPEST = 1.3
"""The log-log slope up to which a cost counts as linear. From 64 to 256 steps a parallel scan, T log T, has 1.21. A
quadratic cost has 1.5 or more there, together with its linear part."""


class Cost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count operations, the bytes of their results, and the multiplications of matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.bytes = self.multiplications = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.operations += 1
        if not func.is_view:  # a view costs no memory
            outputs = (result,) if isinstance(result, Tensor) else tree_leaves(result)
            self.bytes += sum(leaf.numel() * leaf.element_size() for leaf in outputs if isinstance(leaf, Tensor))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.multiplications += count(*args, **kwargs, out_val=result)
        return result


def growth(scan: Callable[[int], Tensor], short: int, long: int) -> dict[str, float]:
    """Return the log-log slope of each cost of a training step against the length.

    Args:
        scan: returns the outputs of a scan of some length; its backward pass is counted too.
        short: a length.
        long: a longer one.
    """
    before, after = _cost(scan, short), _cost(scan, long)
    return {
        what: math.log(max(getattr(after, what), 1) / max(getattr(before, what), 1)) / math.log(long / short)
        for what in ("operations", "bytes", "multiplications")
    }


def _cost(scan: Callable[[int], Tensor], num_steps: int) -> Cost:
    free_buffers()  # otherwise a second scan would allocate nothing
    # Fused attention hides its [T, T] weights; the unfused form shows them.
    counted = Cost()
    with sdpa_kernel(SDPBackend.MATH), counted:
        outputs = scan(num_steps).sum()
        if outputs.requires_grad:  # a reservoir trains nothing
            outputs.backward()  # type: ignore[no-untyped-call]
    return counted


@check("linear-cost", "hard", needs=("builds",))
def linear_cost(subject: ModelUnderTest) -> Verdict:
    """Work and memory grow no faster than the length."""
    model = _small(subject).train()
    fused = any(isinstance(module, FusedCell) for module in model.recurrence.modules())
    short, long = LENGTHS
    found: list[tuple[float, str]] = []
    for backend in ("loop", "auto") if fused else ("auto",):
        with scan_with(backend), model_code():
            slopes = growth(lambda num_steps: _outputs(subject, model, num_steps), short, long)
        found += [(slope, what) for what, slope in slopes.items()]
    slope, what = max(found)
    if slope > STEEPEST:
        return failed(
            f"the {what} of a training step grow as T^{slope:.2f} from T={short} to {long}",
            "look for u[:, t] of a tensor that needs a gradient (take u.unbind(1) once instead), for torch.cat of what "
            "grows, and for [T, T] matrices",
        )
    return passed(f"{what} grow the fastest, as T^{slope:.2f} from T={short} to {long}")


def _small(subject: ModelUnderTest) -> RecurrentModel:
    """Build few units if the model accepts that: with many, T H^2 would hide a cost of T^2 H."""
    for size in SMALL_SIZES:
        if size < subject.hidden_size and subject.refusal(subject.input_size, size) is None:
            with suppress(AsrnnError, RaisedError):
                return subject.build(hidden_size=size)
    return subject.build()


def _outputs(subject: ModelUnderTest, model: RecurrentModel, num_steps: int) -> Tensor:
    with seeded(1):  # a layer that is left out at random is so at both lengths
        return run(model, subject.sequences(2, num_steps)).outputs


B, T = 32, 200
"""The size of a timed step: a quarter of the length of pixel-mnist."""


@check("speed", "information", needs=("builds", "new-process"))
def speed(subject: ModelUnderTest) -> Verdict:
    """Forward and backward at B=32, T=200."""
    if subject.importable is None:
        return skipped("no other process can import the class: it stands in no file, or not at the top of one")
    request = {
        "source": as_plain(subject.importable),
        "hyper": subject.hyper,
        "sizes": {
            "input_size": subject.input_size,
            "hidden_size": subject.hidden_size,
            "device": subject.device,
        },
        "shape": (B, T),
    }
    try:
        own, other = ask("measure", request)
    except SpawnedError as error:
        return failed(f"there: {error}")
    found = f"{1000 * own[0]:.0f} ms, {own[0] / other[0]:.1f} times torch.nn.LSTM's"
    if own[1] is not None and other[1] is not None:
        found += f"; {own[1]:.0f} MiB, LSTM {other[1]:.0f}"
    recurrence = subject.build(alone=True).recurrence
    if isinstance(recurrence, RecurrentCell) and recurrence.scan_backend == "loop":
        found += "; its steps run in Python: a FusedCell or ParallelCell scans several times faster"
        found += " (docs/guides/new-cell.md)"
    return passed(f"H={subject.hidden_size}: {found}")
