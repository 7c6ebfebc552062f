"""The model computes in the precision that it is moved to."""

import torch

from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.subject import INPUT_SIZE, Subject, largest_change, noise, run, tensors_of

_ADVICE = "make new tensors as x.new_zeros(...), and register constants as buffers"


def _float64(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(2, 6, INPUT_SIZE)
    single = run(model, x)
    double = run(model.double(), x.double())
    for part in (double.outputs, *tensors_of(double.state)):
        if part.is_floating_point() and part.dtype != torch.float64:
            return failed(
                f"after model.double() it gives out {_name(part.dtype)}",
                _ADVICE,
            )
    change = largest_change(single.outputs.double(), double.outputs)
    if change > TOLERANCE:
        return failed(
            f"outputs that are off from those in float32 by {change:.2g} times the largest", "round nowhere in between"
        )
    back = run(model.float(), x)
    if back.outputs.dtype != torch.float32:
        return failed(
            f"after model.float() it gives out {_name(back.outputs.dtype)}", "let the precision follow the weights"
        )
    return passed(f"largest difference from float32 {change:.1g}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


CHECKS = (
    Check(
        "float64",
        "hard",
        "moved to float64 it computes the same there, and moves back",
        _float64,
        ("builds", "deterministic"),
        _ADVICE,
    ),
)
