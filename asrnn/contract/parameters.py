"""The parameters are counted, and all of them learn from what a run reads: the last output."""

import torch
from torch import Tensor

from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.subject import INPUT_SIZE, Subject, noise, run, trained_parameters

BATCH_SIZE, STEPS = 4, 12


def _counted(subject: Subject) -> Verdict:
    model = subject.build()
    counted, held = model.num_parameters(), sum(p.numel() for p in model.parameters() if p.requires_grad)
    if not 0 < counted <= held:
        return failed(
            f"num_parameters() says {counted:,}, and there are {held:,} numbers that learn",
            "count degrees of freedom: at most the numbers of the parameters that require a gradient",
        )
    return passed(f"{counted:,} degrees of freedom in {held:,} numbers, the readout's included")


def _learning(subject: Subject) -> Verdict:
    gradients = _gradients(subject)
    missed = [name for name, gradient in gradients.items() if gradient is None]
    if missed:
        return failed(
            f"no gradient reaches {listed(missed)}",
            "use each parameter in forward, on the way to the last output, or do not make it one",
        )
    return passed(f"{len(gradients)} tensors")


def _nonzero_gradients(subject: Subject) -> Verdict:
    gradients = _gradients(subject)
    still = [name for name, gradient in gradients.items() if gradient is not None and not gradient.any()]
    if not gradients:
        return skipped("the recurrence has no parameter that learns")
    if still:
        return failed(
            f"the gradient of {listed(still)} is exactly 0 with the weights it starts with",
            "see that these weights can leave where they start",
        )
    return passed(f"{len(gradients)} tensors")


def _gradients(subject: Subject) -> dict[str, Tensor | None]:
    """Return the gradients of a random sum of the last outputs, as the first step of a training has them."""
    model = subject.build().train()
    parameters = trained_parameters(model)
    last = run(model, noise(BATCH_SIZE, STEPS, INPUT_SIZE)).last
    loss = (last * noise(*last.shape, seed=2)).sum()
    if not loss.requires_grad:
        return dict.fromkeys(parameters)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


CHECKS = (
    Check("parameters", "hard", "the numbers that learn are counted", _counted, ("builds",)),
    Check("learning", "hard", "every parameter receives a gradient from the last output", _learning, ("builds",)),
    Check(
        "nonzero-gradients",
        "warning",
        "no parameter starts with a gradient of exactly 0",
        _nonzero_gradients,
        ("builds", "learning"),
    ),
)
