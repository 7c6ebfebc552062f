"""Check that all parameters are counted, and that all learn from the last output, which a run reads."""

import torch
from torch import Tensor

from asrnn.contract.check import check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.running import gradients_of, largest_change, model_code, run, trained_parameters
from asrnn.layers import num_elements
from asrnn.models import RecurrentModel

BATCH_SIZE, STEPS, LONGER = 4, 12, 300
WEIGHTS, DISTURBANCE = 4, 0.3


@check("parameters", "hard", needs=("builds",))
def parameters(subject: ModelUnderTest) -> Verdict:
    """The numbers that learn are counted."""
    model = subject.build()
    with model_code():
        counted, held = int(model.num_parameters()), num_elements(model)
    if not 0 < counted <= held:
        return failed(
            f"num_parameters() says {counted:,}, and there are {held:,} numbers that learn",
            "count degrees of freedom: at most the numbers of the parameters that require a gradient",
        )
    return passed(f"{counted:,} degrees of freedom in {held:,} numbers, the readout's included")


@check("made-once", "hard", needs=("builds",))
def made_once(subject: ModelUnderTest) -> Verdict:
    """Training keeps the parameters that the constructor made."""
    model = subject.build().train()
    before = _identities(model)
    outputs = run(model, subject.sequences(BATCH_SIZE, STEPS)).outputs
    gradients_of(outputs.sum(), list(trained_parameters(model).values()))
    after = _identities(model)
    made = [name for name, number in after.items() if before.get(name) != number]
    if made:
        return failed(
            f"a call in training makes {listed(made)} anew",
            "make every parameter in the constructor, and change it in place: the optimiser has the ones of the start",
        )
    lost = [name for name in before if name not in after]
    if lost:
        return failed(f"a call in training removes {listed(lost)}", "keep every parameter of the constructor")
    frozen = [name for name, p in trained_parameters(subject.build()).items() if name not in trained_parameters(model)]
    if frozen:
        return failed(f"a call in training freezes {listed(frozen)}", "set requires_grad in the constructor")
    return passed(f"{len(before)} tensors stay the ones that the optimiser has")


def _identities(model: RecurrentModel) -> dict[str, int]:
    return {name: id(parameter) for name, parameter in model.named_parameters()}


@check("learning", "hard", needs=("builds",))
def learning(subject: ModelUnderTest) -> Verdict:
    """Every parameter receives a gradient from the last output."""
    gradients = subject.once(_gradients)
    if not gradients:
        return skipped("the recurrence has no parameter that is trained")
    missed = [name for name, gradient in gradients.items() if gradient is None]
    if missed:
        return failed(
            f"no gradient reaches {listed(missed)}",
            "use each parameter in forward, on the way to the last output, or do not make it one",
        )
    return passed(f"{len(gradients)} tensors")


@check("nonzero-gradients", "warning", needs=("builds", "learning"))
def nonzero_gradients(subject: ModelUnderTest) -> Verdict:
    """No parameter starts with a gradient of exactly 0."""
    gradients = subject.once(_gradients)
    still = [name for name, gradient in gradients.items() if gradient is not None and not gradient.any()]
    if not gradients:
        return skipped("the recurrence has no parameter that is trained")
    if still:
        return failed(
            f"the gradient of {listed(still)} is exactly 0 with the weights it starts with",
            "see that these weights can leave where they start",
        )
    return passed(f"{len(gradients)} tensors")


def _gradients(subject: ModelUnderTest) -> dict[str, Tensor | None]:
    """Return the gradients of a random sum of the last outputs, over the first steps of a training.

    A parameter may have no gradient in one step, if its layer is left out at random or runs only every 100 steps. So
    several steps and a longer sequence are tried.
    """
    found: dict[str, Tensor | None] = {}
    for seed, length in enumerate((STEPS, STEPS, STEPS, STEPS, LONGER)):
        model = subject.build().train()
        parameters = trained_parameters(model)
        with seeded(seed):
            last = run(model, subject.sequences(BATCH_SIZE, length)).last
        gradients = gradients_of((last * subject.noise(*last.shape, seed=2)).sum(), list(parameters.values()))
        for name, gradient in zip(parameters, gradients, strict=True):
            known = found.get(name)
            found[name] = gradient if known is None or not known.any() else known
        if all(gradient is not None and gradient.any() for gradient in found.values()):
            break
    return found


@check("reads-input", "hard", needs=("builds", "deterministic"))
@torch.no_grad()
def reads_input(subject: ModelUnderTest) -> Verdict:
    """The outputs depend on every number of a step.

    The initial weights are tried first. If they hide an input, other weights are tried, as training may reach them.
    """
    unread = list(range(subject.input_size))
    for seed in range(WEIGHTS):
        model = subject.build()
        generator = torch.Generator().manual_seed(seed)
        for parameter in trained_parameters(model).values() if seed else ():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.data += DISTURBANCE * noise.to(parameter.device, parameter.dtype)
        x = subject.sequences(BATCH_SIZE, STEPS)
        expected = run(model, x).outputs
        unread = [i for i in unread if not _moves(model, x, i, expected)]
        if not unread:
            hidden = " once its weights have left where they start" if seed else ""
            return passed(f"each of {subject.input_size}{hidden}")
    numbers = listed([str(i + 1) for i in unread])
    return failed(
        f"the outputs do not depend on number {numbers} of the {subject.input_size} of a step",
        "read the whole of x[:, t]",
    )


def _moves(model: RecurrentModel, x: Tensor, number: int, expected: Tensor) -> bool:
    changed = x.clone()
    changed[..., number] = x[..., number].flip(0) + 1
    change = largest_change(run(model, changed).outputs, expected)
    return change > 0
