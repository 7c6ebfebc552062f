"""What becomes of numbers and gradients over the lengths that the tasks have, and over twice that."""

import math
from functools import lru_cache

import torch

from asrnn.contract.check import Check
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.subject import INPUT_SIZE, Subject, noise, run, trained_parameters

STEPS, LONGEST = 1000, 2000
BATCH_SIZE = 2
VANISHED, EXPLODED = 1e-6, 1e6
"""The bounds of a gradient over 1,000 steps, relative to that of the last input, between which nothing is said: beyond
them float32, whose sums round at 6e-8, hardly adds the first input's share to the last one's."""


@torch.no_grad()
def _finite_outputs(subject: Subject) -> Verdict:
    result = run(subject.build(), noise(BATCH_SIZE, LONGEST, INPUT_SIZE))
    finite = result.outputs.isfinite()
    if finite.all():
        return passed(f"the largest is {result.outputs.abs().max().item():.2g}")
    first = ""
    if result.sequence is not None:
        first = f" from step {int((~finite).any(dim=2).any(dim=0).nonzero()[0]) + 1} on"
    kind = "NaN" if result.outputs.isnan().any() else "infinite"
    return failed(
        f"outputs are {kind}{first}", "keep the state from growing: a smaller recurrent weight, or a bounded activation"
    )


def _finite_gradients(subject: Subject) -> Verdict:
    of_inputs, of_parameters = _norms(subject)
    wrong = [name for name, norm in of_parameters.items() if not math.isfinite(norm)]
    if not all(map(math.isfinite, of_inputs)):
        wrong.append("the input")
    if wrong:
        return failed(
            f"the gradient of {', '.join(wrong)} is not finite",
            "start where gradients do not explode: recurrent weights with singular values of at most 1",
        )
    return passed(f"those of the input and {len(of_parameters)} parameters are")


def _reach(subject: Subject) -> Verdict:
    (first, last), _ = _norms(subject)
    share = first / last if last else 0.0
    found = f"d loss / d x_1 is {share:.1g} of d loss / d x_{STEPS}"
    if VANISHED < share < EXPLODED:
        return passed(found)
    if share <= VANISHED:
        return failed(f"{found}: it vanishes", "what lies so far back will hardly be learnt")
    return failed(f"{found}: it explodes", "clip gradients, or start from smaller recurrent weights")


@lru_cache(maxsize=1)  # two checks look at the same backward, which takes the longest of all
def _norms(subject: Subject) -> tuple[tuple[float, float], dict[str, float]]:
    """Return the norms of the gradients of the first and of the last input, and of each parameter."""
    model, x = subject.build(), noise(BATCH_SIZE, STEPS, INPUT_SIZE).requires_grad_()
    parameters = trained_parameters(model)
    last = run(model, x).last
    loss = (last * noise(*last.shape, seed=2)).sum()
    of_x, *others = torch.autograd.grad(loss, [x, *parameters.values()], allow_unused=True, materialize_grads=True)
    norms = {name: other.double().norm().item() for name, other in zip(parameters, others, strict=True)}
    return (of_x[:, 0].double().norm().item(), of_x[:, -1].double().norm().item()), norms


CHECKS = (
    Check("long-sequence", "hard", f"no NaN over {LONGEST:,} steps of noise", _finite_outputs, ("builds",)),
    Check("finite-gradients", "hard", f"gradients over {STEPS:,} steps are finite", _finite_gradients, ("builds",)),
    Check(
        "long-gradient",
        "warning",
        f"the gradient reaches the first of {STEPS:,} inputs",
        _reach,
        ("builds", "finite-gradients"),
    ),
)
