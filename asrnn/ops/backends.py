"""Choose what runs a scan: the fastest back end for the device, precision and size that works here.

Each back end is tested once per process against float64 steps. If a faster one is rejected, a warning says why.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from asrnn.errors import ModelError, UnknownNameError
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.derivatives import under_a_transform
from asrnn.ops.first_run import first_run_error
from asrnn.ops.recurrence import Operands, Recurrence
from asrnn.ops.recurrences.residual import GatedResidual, Residual
from asrnn.ops.runner import Runner, StepRunner
from asrnn.ops.triton.reach import chip_of, precision_for, why_not
from asrnn.ops.triton.runner import triton_runner

BACKENDS = ("auto", "loop", "fused", "compiled", "triton", "parallel", "torch")

_SUBSTITUTES = {"torch": "torch's layers scan", "parallel": "the parallel scan runs"}

_requested: ContextVar[str] = ContextVar("asrnn_scan_backend", default="auto")


@contextmanager
def scan_with(name: str) -> Iterator[None]:
    """Choose the back end of the scans inside a ``with`` block, in this thread.

    >>> from asrnn import build_cell
    >>> from asrnn.ops import scan_with
    >>> import torch
    >>> cell = build_cell("antisymmetric", input_size=1, hidden_size=16)
    >>> with scan_with("loop"):
    ...     output, state = cell.scan(torch.zeros(2, 5, 1))
    >>> cell.scan_backend
    'loop'

    Args:
        name: one of

            - ``auto``: the fastest back end that works.
            - ``loop``: a loop over ``step``, recorded by autograd.
            - ``fused``: in-place steps in Python.
            - ``compiled``: steps in C, on the CPU.
            - ``triton``: one kernel, on a CUDA device.
            - ``parallel``: all steps at once, where the step is linear in the state.
            - ``torch``: the kernels of ``torch.nn``'s layers.

    Raises:
        UnknownNameError: there is no such back end.
        ModelError: from a scan in the block that the named back end cannot run.
    """
    if name not in BACKENDS:
        raise UnknownNameError("scan back end", name, BACKENDS)
    token = _requested.set(name)
    try:
        yield
    finally:
        _requested.reset(token)


def require_loop(reason: str) -> None:
    """Raise an error if :func:`scan_with` names another back end than the loop.

    Args:
        reason: why only the loop can run the scan, for the message.

    Raises:
        ModelError: another back end was requested.
    """
    if _requested.get() != "loop":
        _substitute(None, _requested.get(), reason)


def takes_scan(name: str, cell: str, *, why_not: str | None = None) -> bool:
    """Return whether to run a scan with the only back end that a cell has beside the loop.

    Args:
        name: the name of the back end.
        cell: the name of the cell, for the message.
        why_not: why the back end cannot run this scan, or None.

    Raises:
        ModelError: the requested back end cannot run the scan.
    """
    requested = _requested.get()
    if requested not in ("auto", "loop", name):
        _substitute(None, requested, f"{cell} has {name} and loop")
    if why_not is not None and requested != "loop":
        _substitute(None, requested, why_not)
    return requested != "loop" and why_not is None


def other_takes_scan(
    name: str, recurrence: Recurrence, operands: Operands, *, preferred: bool = False, why_not: str | None = None
) -> bool:
    """Return whether to run a scan with a cell's additional back end, instead of the choice of :func:`runner_for`.

    The compiled steps have priority, unless the additional back end is preferred. It also replaces them where they
    cannot run.

    Args:
        name: the name of the additional back end.
        recurrence: the fused recurrence of the cell.
        operands: the operands of the scan.
        preferred: use the additional back end wherever it can run the scan.
        why_not: why the additional back end cannot run this scan, or None.

    Raises:
        ModelError: the additional back end was requested and cannot run the scan.
    """
    requested, state = _requested.get(), operands.state[0]
    if why_not is not None:
        if requested == name:
            _substitute(None, requested, why_not)
        return False
    if requested != "auto":
        return requested == name
    if preferred or state.device.type != "cpu" or state.dtype != torch.float32 or _why_loop(recurrence, operands):
        return True
    found = _compiled(recurrence, state.shape[1], state.device, state.dtype)
    if isinstance(found, str):
        _warn_once(found, f"{_SUBSTITUTES[name]}, slower than it could be")
    return isinstance(found, str)


def runner_for(recurrence: Recurrence | None, operands: Operands) -> Runner | None:
    """Return the runner of a scan, or None for the loop.

    Args:
        recurrence: the fused recurrence of the cell, or None where it has none.
        operands: the operands of the scan.

    Raises:
        ModelError: the requested back end cannot run the scan.
    """
    requested = _requested.get()
    if requested == "loop":
        return None
    if recurrence is None:
        return _substitute(None, requested, "no fused recurrence computes it with these hyper-parameters")
    if requested == "parallel":
        return _substitute(None, requested, "its step is not linear in the state")
    if requested == "torch":
        return _substitute(None, requested, "no layer of torch.nn computes it")
    reason = _why_loop(recurrence, operands)
    if reason:
        if requested == "auto" and operands.bias.dtype in (torch.bfloat16, torch.float16):
            word = str(operands.bias.dtype).removeprefix("torch.")
            _warn_once(f"only the loop over steps computes in {word}; fused scans do in float32 and float64")
        return _substitute(None, requested, reason)
    if requested == "fused":
        return StepRunner()
    state = operands.state[0]
    name = requested if requested != "auto" else "triton" if state.is_cuda else "compiled"
    found = _CANDIDATES[name](recurrence, state.shape[1], state.device, state.dtype)
    if isinstance(found, Runner):
        return found
    if requested == "auto" and state.dtype == torch.float32:
        _warn_once(found)
    return _substitute(StepRunner(), requested, found)


def _why_loop(recurrence: Recurrence, operands: Operands) -> str | None:
    """Return why only the loop can run a scan, in a sentence, or None."""
    x, *tensors = operands.tensors()
    dtypes, device = {tensor.dtype for tensor in tensors}, x.device
    autocast = torch.is_autocast_enabled(device.type) if device.type in ("cpu", "cuda") else False
    if not x.numel() or device.type == "meta":
        return "there is nothing to compute"
    if any(isinstance(scalar, torch.Tensor) for scalar in recurrence.scalars):
        return "a constant of the recurrence is a tensor"
    if under_a_transform():
        return "it is under a transform of torch.func, or forward-mode differentiation"
    uniform = len(dtypes) == 1 and all(tensor.device == device for tensor in tensors)
    if not uniform or not dtypes <= {torch.float32, torch.float64} or not (autocast or x.dtype in dtypes):
        return "it is not float32 or float64 throughout, on one device"
    return None


@functools.cache
def _warn_once(reason: str, what: str = "scans run in Python, several times slower than they could") -> None:
    warnings.warn(f"{what}: {reason}", RuntimeWarning, stacklevel=3)


def _substitute(runner: Runner | None, requested: str, reason: str) -> Runner | None:
    """Return the runner that replaces an unusable back end, or raise an error if that back end was requested."""
    if requested != "auto":
        raise ModelError(f"the scan back end '{requested}' cannot run this scan: {reason}")
    return runner


def _triton(recurrence: Recurrence, size: int, device: torch.device, dtype: torch.dtype) -> Runner | str:
    if not isinstance(recurrence, Residual | GatedResidual):
        return f"there is no kernel for {type(recurrence).__name__}"
    reason = why_not(device, dtype, size)
    precision = None if reason else precision_for(size, chip_of(device))
    if precision is None:
        return str(reason)
    runner = triton_runner(precision)
    return first_run_error(runner, type(recurrence), size, device) or runner


def _compiled(recurrence: Recurrence, size: int, device: torch.device, dtype: torch.dtype) -> Runner | str:
    if device.type != "cpu" or dtype != torch.float32:
        return f"it runs float32 on the CPU, not {str(dtype).removeprefix('torch.')} on {device.type}"
    runner = compiled_runner(type(recurrence))
    if isinstance(runner, str):
        return runner
    return first_run_error(runner, type(recurrence), runner.first_size, device) or runner


_CANDIDATES: dict[str, Callable[[Recurrence, int, torch.device, torch.dtype], Runner | str]] = {
    "triton": _triton,
    "compiled": _compiled,
}
