"""Choose the runner of a scan: the fastest that device, precision and size allow and that was seen to be right."""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from asrnn.errors import ModelError, UnknownNameError
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.derivatives import under_a_transform
from asrnn.ops.first_run import distrust
from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence
from asrnn.ops.recurrences.residual import GatedResidual, Residual
from asrnn.ops.runner import Runner, StepRunner
from asrnn.ops.triton.reach import chip_of, precision_for, why_not
from asrnn.ops.triton.runner import triton_runner

BACKENDS = ("auto", "loop", "fused", "compiled", "triton", "parallel", "torch")

_OTHERS = {"torch": "torch's layers scan", "parallel": "the parallel scan runs"}

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
            steps in Python; ``compiled``, in C on the CPU; ``triton``, a kernel on a CUDA device; ``parallel``, all
            steps at once, where the step is linear in the state; ``torch``, the kernels of ``torch.nn``'s layers.

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


def require_loop(reason: str) -> None:
    """Refuse a scan that only the loop can run, where another back end was asked for.

    Args:
        reason: why only the loop can run it, for the message.

    Raises:
        ModelError: :func:`scan_with` names another one.
    """
    if _asked.get() != "loop":
        _only(None, _asked.get(), reason)


def takes_scan(name: str, cell: str, *, why_not: str | None = None) -> bool:
    """Return whether the one back end that a cell has beside the loop takes a scan.

    Args:
        name: what the back end is called.
        cell: what the cell is called, for the message.
        why_not: why it cannot run this scan, if so.

    Raises:
        ModelError: it cannot be run by the back end that :func:`scan_with` names.
    """
    asked = _asked.get()
    if asked not in ("auto", "loop", name):
        _only(None, asked, f"{cell} has {name} and loop")
    if why_not is not None and asked != "loop":
        _only(None, asked, why_not)
    return asked != "loop" and why_not is None


def other_takes_scan(
    name: str, recurrence: Recurrence, operands: Operands, *, preferred: bool = False, why_not: str | None = None
) -> bool:
    """Return whether what a cell has beside its fused recurrence and the loop takes a scan, or :func:`runner_for`.

    The compiled steps are the fastest, unless the other is preferred; where they cannot run, it does.

    Args:
        name: what the other back end is called.
        recurrence: what a step is.
        operands: what the scan reads.
        preferred: it is to take the scan wherever it can.
        why_not: why it cannot, if so.

    Raises:
        ModelError: :func:`scan_with` names it, and it cannot.
    """
    asked, state = _asked.get(), operands.state[0]
    if why_not is not None:
        if asked == name:
            _only(None, asked, why_not)
        return False
    if asked != "auto":
        return asked == name
    if preferred or state.device.type != "cpu" or state.dtype != torch.float32 or _why_loop(recurrence, operands):
        return True
    found = _compiled(recurrence, state.shape[1], state.device, state.dtype)
    if isinstance(found, str):
        _warn_once(found, f"{_OTHERS[name]}, slower than it could be")
    return isinstance(found, str)


def runner_for(recurrence: Recurrence | None, operands: Operands) -> Runner | None:
    """Return what runs this scan, or None for the loop.

    Raises:
        ModelError: it cannot be run by the back end that :func:`scan_with` names.
    """
    asked = _asked.get()
    if asked == "loop":
        return None
    if recurrence is None:
        return _only(None, asked, "no fused recurrence computes it with these hyper-parameters")
    if asked == "parallel":
        return _only(None, asked, "its step is not linear in the state")
    if asked == "torch":
        return _only(None, asked, "no layer of torch.nn computes it")
    reason = _why_loop(recurrence, operands)
    if reason:
        if asked == "auto" and operands.bias.dtype in (torch.bfloat16, torch.float16):
            word = str(operands.bias.dtype).removeprefix("torch.")
            _warn_once(f"only the loop over steps computes in {word}; fused scans do in float32 and float64")
        return _only(None, asked, reason)
    if asked == "fused":
        return StepRunner()
    state = operands.state[0]
    name = asked if asked != "auto" else "triton" if state.is_cuda else "compiled"
    found = _CANDIDATES[name](recurrence, state.shape[1], state.device, state.dtype)
    if isinstance(found, Runner):
        return found
    if asked == "auto" and state.dtype == torch.float32:
        _warn_once(found)
    return _only(StepRunner(), asked, found)


def _why_loop(recurrence: Recurrence, operands: Operands) -> str | None:
    """Say in a sentence why only the loop can run a scan, if so."""
    x, *tensors = operands.tensors()
    dtypes, device = {tensor.dtype for tensor in tensors}, x.device
    rounded = torch.is_autocast_enabled(device.type) if device.type in ("cpu", "cuda") else False
    if not x.numel() or device.type == "meta":
        return "there is nothing to compute"
    if any(isinstance(scalar, torch.Tensor) for scalar in recurrence.scalars):
        return "a constant of the recurrence is a tensor"
    if under_a_transform():
        return "it is under a transform of torch.func, or forward-mode differentiation"
    one_kind = len(dtypes) == 1 and all(tensor.device == device for tensor in tensors)
    if not one_kind or not dtypes <= {torch.float32, torch.float64} or not (rounded or x.dtype in dtypes):
        return "it is not float32 or float64 throughout, on one device"
    return None


@functools.cache
def _warn_once(reason: str, what: str = "scans run in Python, several times slower than they could") -> None:
    warnings.warn(f"{what}: {reason}", RuntimeWarning, stacklevel=3)


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
    return distrust(runner, type(recurrence), runner.first_size, device) or runner


_CANDIDATES: dict[str, Callable[[Recurrence, int, torch.device, torch.dtype], Runner | str]] = {
    "triton": _triton,
    "compiled": _compiled,
}
