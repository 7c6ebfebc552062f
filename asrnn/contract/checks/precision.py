"""Check that a model computes in the precision to which it is moved."""

import torch

from asrnn.contract.check import TOLERANCE, check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.running import RaisedError, largest_change, model_code, run, tensors_of
from asrnn.errors import AsrnnError

_ADVICE = (
    "jobs train in float32, so nothing keeps it out; but its gradients are compared with differences in float32 only. "
    "Make new tensors as x.new_zeros(...), and register constants as buffers"
)


@check("float64", "warning", needs=("builds", "deterministic"), advice=_ADVICE)
def float64(subject: ModelUnderTest) -> Verdict:
    """Moved to float64 it computes the same there, and moves back."""
    model, x = subject.build(), subject.sequences(2, 6)
    single = run(model, x)
    with model_code():
        model = model.double()
    double = run(model, x.double())
    for part in (double.outputs, *tensors_of(double.state)):
        if part.is_floating_point() and part.dtype != torch.float64:
            return failed(f"after model.double() it returns {_name(part.dtype)}", _ADVICE)
    if not subject.once(computes_in_float64):
        return failed("after model.double() it computes in float32 all the same", _ADVICE)
    change = largest_change(single.outputs.double(), double.outputs)
    if change > TOLERANCE:
        return failed(
            f"outputs that are off from those in float32 by {change:.2g} times the largest", "round nowhere in between"
        )
    with model_code():
        model = model.float()
    back = run(model, x)
    if back.outputs.dtype != torch.float32:
        return failed(f"after model.float() it returns {_name(back.outputs.dtype)}", _ADVICE)
    return passed(f"largest difference from float32 {change:.1g}")


@torch.no_grad()
def computes_in_float64(subject: ModelUnderTest) -> bool:
    """Return whether a model that is moved to float64 computes in it: it distinguishes inputs that float32 does not.

    Inputs are moved by a relative 1e-12. Float64 resolves 1e-16, and float32 6e-8.
    """
    try:
        with model_code():
            model = subject.build().double()
        x = subject.sequences(2, 6, dtype=torch.float64).float().double()
        one, other = (run(model, each).outputs for each in (x, x * (1 + 1e-12)))
        coarse = run(model, x * (1 + 1e-6)).outputs
    except (RaisedError, AsrnnError):
        return False
    if one.dtype != torch.float64:
        return False
    return not torch.equal(one, other) or torch.equal(
        one, coarse
    )  # outputs that change in steps, or not at all, show nothing


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
