"""Which runner takes a scan: the fastest that this device, precision and size allow, and that was seen to be right."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from asrnn.errors import ModelError, UnknownNameError
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.driver import Operands
from asrnn.ops.recurrence import Recurrence
from asrnn.ops.residual import GatedResidual, Residual
from asrnn.ops.runner import Runner, StepRunner
from asrnn.ops.trial import distrust
from asrnn.ops.triton_reach import chip_of, precision_for, why_not
from asrnn.ops.triton_runner import triton_runner

BACKENDS = ("auto", "loop", "fused", "compiled", "triton")

_TRIAL_SIZE = 21  # units; the C code is the same for all sizes, and this one has rows to pad

_asked: ContextVar[str] = ContextVar("asrnn_scan_backend", default="auto")


@contextmanager
def scan_with(name: str) -> Iterator[None]:
    """Choose what runs the scans inside a ``with`` block, in this thread.

    >>> from asrnn import build_cell
    >>> from asrnn.ops import scan_with
    >>> import torch
    >>> cell = build_cell("antisymmetric", input_size=1, hidden_size=16)
    >>> with scan_with("loop"):
    ...     output, state = cell.scan(torch.zeros(2, 5, 1))
    >>> cell.scan_backend
    'loop'

    Args:
        name: ``auto``, the fastest there is; ``loop`` over ``step``, recorded by autograd; ``fused``, in-place
            steps in Python; ``compiled``, in C on the CPU; ``triton``, a kernel on a CUDA device.

    Raises:
        UnknownNameError: there is no such back end.
        ModelError: at a scan, which cannot be run by the one that was asked for.
    """
    if name not in BACKENDS:
        raise UnknownNameError("scan back end", name, BACKENDS)
    token = _asked.set(name)
    try:
        yield
    finally:
        _asked.reset(token)


def runner_for(recurrence: Recurrence, operands: Operands) -> Runner | None:
    """Return what runs this scan, or None for the loop.

    Raises:
        ModelError: it cannot be run by the back end that :func:`scan_with` names.
    """
    asked, (dtypes, devices) = _asked.get(), _kinds(operands)
    if asked == "loop":
        return None
    if len(dtypes) > 1 or len(devices) > 1 or not dtypes <= {torch.float32, torch.float64}:
        return _only(None, asked, "it is not float32 or float64 throughout, on one device")
    if asked == "fused":
        return StepRunner()
    size = operands.state[0].shape[1]
    reasons = {}
    for name, candidate in (("triton", _triton), ("compiled", _compiled)):
        found = candidate(recurrence, size, next(iter(devices)), next(iter(dtypes)))
        if isinstance(found, Runner) and asked in (name, "auto"):
            return found
        reasons[name] = found
    return _only(StepRunner(), asked, str(reasons.get(asked)))


def _kinds(operands: Operands) -> tuple[set[torch.dtype], set[torch.device]]:
    tensors = operands.tensors()[1:]  # x is converted to the weights' precision
    return {tensor.dtype for tensor in tensors}, {operands.x.device, *(tensor.device for tensor in tensors)}


def _only(substitute: Runner | None, asked: str, reason: str) -> Runner | None:
    """Return what runs in the place of a back end that cannot, unless just that one was asked for."""
    if asked != "auto":
        raise ModelError(f"the scan back end '{asked}' cannot run this scan: {reason}")
    return substitute


def _triton(recurrence: Recurrence, size: int, device: torch.device, dtype: torch.dtype) -> Runner | str:
    if not isinstance(recurrence, Residual | GatedResidual):
        return f"there is no kernel for {type(recurrence).__name__}"
    reason = why_not(device, dtype, size)
    precision = None if reason else precision_for(size, chip_of(device))
    if precision is None:
        return str(reason)
    runner = triton_runner(precision)
    return distrust(runner, type(recurrence), size, device) or runner


def _compiled(recurrence: Recurrence, size: int, device: torch.device, dtype: torch.dtype) -> Runner | str:
    if device.type != "cpu" or dtype != torch.float32:
        return f"it runs float32 on the CPU, not {str(dtype).removeprefix('torch.')} on {device.type}"
    runner = compiled_runner(type(recurrence))
    if isinstance(runner, str):
        return runner
    return distrust(runner, type(recurrence), _TRIAL_SIZE, device) or runner
