"""Gradients are right, and arrive wherever the output depends on the input: nothing cuts the graph."""

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.subject import INPUT_SIZE, Subject, noise, run, trained_parameters

STEPS = 200
SMALL = 0.1
"""Inputs are small, so that activations are nearly linear and what lies far back is still to be seen."""
NUDGE, SEEN = 1e-5, 1e-14
"""How far one input is moved, and what the output must then move, relative to it, to depend on that input.

Float64 rounds at 1e-16, and 200 steps do not shrink a gradient to below 1e-308: one of exactly 0 was cut, unless the
output does not depend on the input either, as behind a rectifier that is shut, whose kink so small a move hardly ever
meets."""

GRADCHECK_BATCH, GRADCHECK_STEPS = 2, 4


def _arrival(subject: Subject) -> Verdict:
    model, x = subject.build().double(), SMALL * noise(2, STEPS, INPUT_SIZE, dtype=torch.float64)
    x.requires_grad_()
    last = run(model, x).last
    weights = noise(*last.shape, seed=2, dtype=torch.float64)
    gradient = torch.autograd.grad((weights * last).sum(), x, allow_unused=True)[0] if last.requires_grad else None
    missed = range(STEPS) if gradient is None else (gradient.abs().amax(dim=(0, 2)) == 0).nonzero()[:, 0].tolist()
    if not missed:
        return passed(f"it reaches all {STEPS} steps")
    step = max(missed)
    lag = STEPS - 1 - step
    nudged = x.detach().clone()
    nudged[:, step] += NUDGE * noise(2, INPUT_SIZE, seed=3, dtype=torch.float64)
    with torch.no_grad():
        change = (run(model, nudged).last - last).abs().max() / last.abs().max().clamp(min=1e-300)
    if change > SEEN:
        return failed(
            f"the last output depends on the input of step {step + 1} of {STEPS}, yet its gradient there is exactly 0",
            "look for detach(), .data, .item(), numpy() or no_grad() between the steps",
        )
    if lag == 0:
        return skipped("not to be seen: with the weights it starts with, the output depends on no input")
    if lag == 1:
        return skipped("not to be seen: with the weights it starts with, the output depends on the last input alone")
    return passed(f"it reaches {lag - 1} steps back; the output does not depend on the input {lag} steps back either")


def _gradcheck(subject: Subject) -> Verdict:
    """Compare along a random direction of each tensor, which shows an error in any of its entries."""
    model = subject.build().double()
    x = noise(GRADCHECK_BATCH, GRADCHECK_STEPS, INPUT_SIZE, dtype=torch.float64)
    parameters = trained_parameters(model)
    for name in (None, *parameters):

        def outputs(tensor: Tensor, name: str | None = name) -> Tensor:
            given = {} if name is None else {name: tensor}
            output = torch.func.functional_call(model.recurrence, given, (tensor if name is None else x,))
            first: Tensor = output[0] if isinstance(output, tuple | list) else output
            return first

        tensor = x if name is None else parameters[name]
        point = tensor.detach().clone().requires_grad_()
        if not outputs(point).requires_grad:
            return failed(f"the outputs have no gradient with respect to {name or 'the input'}", "cut no graph")
        try:
            torch.autograd.gradcheck(outputs, (point,), fast_mode=True, check_undefined_grad=False)
        except GradcheckError as error:
            line = str(error).splitlines()[0].rstrip(",")
            return failed(
                f"the gradient of {name or 'the input'} is not what differences of the outputs are ({line})",
                "mend the backward, or what cuts the graph on one of several ways",
            )
    return passed(f"the input and {len(parameters)} parameters, at T={GRADCHECK_STEPS}")


CHECKS = (
    Check(
        "gradient-arrives",
        "hard",
        "the gradient arrives at every input that the last output depends on",
        _arrival,
        ("builds", "float64", "deterministic"),
    ),
    Check(
        "gradcheck",
        "hard",
        "gradients in float64 are those of finite differences",
        _gradcheck,
        ("builds", "float64", "deterministic"),
    ),
)
