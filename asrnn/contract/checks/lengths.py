"""Check numbers and gradients over sequences as long as those of the tasks, and twice as long."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from asrnn.contract.check import check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.running import gradients_of, run, trained_parameters
from asrnn.models import RecurrentModel

STEPS, LONGEST = 1000, 2000
VANISHED, EXPLODED = 1e-6, 1e6
"""The bounds of a gradient over 1,000 steps, relative to that of the last input; outside is a warning.

Float32 sums round at 6e-8, so outside of these bounds the first input's share is hardly added to the last one's."""

KINDS = (
    "noise",
    "zeros",
    "values in [0, 1] after hundreds of zeros",
    "standardised pixels",
    "noise after an image",
    "ones",
)
"""The kinds of samples in a batch; each of the tasks has some of them."""

BUSY = (KINDS[0], KINDS[3], KINDS[4])
QUIET = (KINDS[1], KINDS[2], KINDS[5])
QUIET_STEPS = 20
"""The number of zeros in a row after which gradients must be finite. In the usual order of permuted-mnist 99.9 % of the
digits begin with at most so many zeros, and padded ones with fewer. The state is still 0 there, where many models
saturate least."""

MOST_QUIET_STEPS = 272
"""The largest number of zeros in a row in 99.9 % of the digits of pixel-mnist. Other tasks have far fewer. A model
whose gradients overflow only here may be useful there, so it gets a warning and a run takes it."""


def like_tasks(subject: ModelUnderTest, num_steps: int) -> Tensor:
    """Return a batch with one sequence of each kind."""
    noise = subject.sequences(1, num_steps)[0]
    pixels = noise.abs().clamp(max=1) * (noise > 0.5)  # most pixels are black, as in MNIST
    late = torch.zeros_like(noise)
    late[num_steps // 3 : num_steps // 2] = pixels[num_steps // 3 : num_steps // 2]
    padded = noise.clone()
    padded[: num_steps // 30] = pixels[: num_steps // 30]
    return torch.stack([noise, torch.zeros_like(noise), late, (pixels - 0.13) / 0.31, padded, torch.ones_like(noise)])


@check("long-sequence", "hard", needs=("builds", "linear-cost"))
@torch.no_grad()
def long_sequence(subject: ModelUnderTest) -> Verdict:
    """No NaN over long noise, zeros, pixels and other inputs like the tasks'."""
    model = subject.build()
    alone = torch.zeros_like(subject.sequences(2, subject.length(STEPS // 2)))
    if not run(model, alone).outputs.isfinite().all():
        return failed(
            "outputs are NaN or infinite for a batch of zeros alone",
            "divide by nothing that can be 0: add an epsilon to what is a norm or a deviation",
        )
    result = run(model, like_tasks(subject, subject.length(LONGEST)))
    finite = result.outputs.isfinite()
    if finite.all():
        return passed(f"T={subject.length(LONGEST):,}; the largest is {result.outputs.abs().max().item():.2g}")
    first = ""
    if result.sequence is not None:
        first = f" from step {int((~finite).any(dim=2).any(dim=0).nonzero()[0]) + 1} on"
    kind = "NaN" if result.outputs.isnan().any() else "infinite"
    kinds = [KINDS[i] for i in (~finite).flatten(1).any(dim=1).nonzero()[:, 0].tolist()]
    return failed(
        f"outputs are {kind}{first} (inputs: {listed(kinds)})",
        "keep the state from growing: a smaller recurrent weight, or a bounded activation",
    )


@check("finite-gradients", "hard", needs=("builds", "linear-cost"))
def finite_gradients(subject: ModelUnderTest) -> Verdict:
    """Gradients over as many steps as tasks have are finite."""
    if not trained_parameters(subject.build()):
        return skipped("nothing to see: it has no number that is trained, so that no gradient is needed")
    _, of_inputs, of_parameters = subject.once(_norms)
    wrong = [name for name, norm in of_parameters.items() if not math.isfinite(norm)]
    kinds = [kind for kind, norm in zip(KINDS, of_inputs, strict=True) if not math.isfinite(norm)]
    if wrong or kinds:
        what = f"the gradient of {listed(wrong)}" if wrong else "the gradient of the input"
        which = f" (inputs: {listed(kinds)})" if kinds else ""
        return failed(
            f"{what} is not finite{which}",
            "start where gradients do not explode: recurrent weights with singular values of at most 1; and take no "
            "root or quotient of what can be 0",
        )
    return passed(f"those of the input and {len(of_parameters)} parameters are")


@check("long-gradient", "warning", needs=("builds", "finite-gradients"))
def long_gradient(subject: ModelUnderTest) -> Verdict:
    """The gradient of the last output reaches the first input, also where inputs are 0 for long."""
    if not trained_parameters(subject.build()):
        return skipped("nothing to see: it has no number that is trained, so that no gradient is needed")
    if kinds := _overflowing(subject):
        return failed(
            f"over {subject.length(MOST_QUIET_STEPS)} steps without news, as in pixel-mnist, the gradient is not finite"
            f" (inputs: {listed(kinds)})",
            "start from smaller recurrent weights, or leave that task out",
        )
    (first, last), _, _ = subject.once(_norms)
    share = first / last if last else 0.0
    found = f"d loss / d x_1 is {share:.1g} of d loss / d x_{subject.length(STEPS)}"
    if VANISHED < share < EXPLODED:
        return passed(found)
    if share <= VANISHED:
        return failed(f"{found}: it vanishes", "what lies so far back will hardly be learnt")
    return failed(f"{found}: it explodes", "clip gradients, or start from smaller recurrent weights")


def _overflowing(subject: ModelUnderTest) -> list[str]:
    """Return the kinds of input for which a gradient over the longest run of zeros is not finite."""
    model = subject.build()
    x, loss = _loss(subject, model, MOST_QUIET_STEPS, QUIET)
    (gradient,) = gradients_of(loss, [x])
    return [] if gradient is None else [k for k, g in zip(QUIET, gradient, strict=True) if not math.isfinite(_norm(g))]


def _norms(subject: ModelUnderTest) -> tuple[tuple[float, float], list[float], dict[str, float]]:
    """Return norms of gradients: of the first and last step of noise, each kind of input, and each parameter."""
    model = subject.build()
    batches = [(kinds, *_loss(subject, model, n, kinds)) for n, kinds in ((STEPS, BUSY), (QUIET_STEPS, QUIET))]
    total = batches[0][2] + batches[1][2]
    parameters = trained_parameters(model)
    found = gradients_of(total, [*(x for _, x, _ in batches), *parameters.values()])
    of_kind: dict[str, Tensor] = {}
    for (kinds, x, _), gradient in zip(batches, found, strict=False):
        of_kind |= dict(zip(kinds, torch.zeros_like(x) if gradient is None else gradient, strict=True))
    norms = {name: _norm(other) for name, other in zip(parameters, found[len(batches) :], strict=True)}
    noise = of_kind["noise"]
    return (_norm(noise[0]), _norm(noise[-1])), [_norm(of_kind[kind]) for kind in KINDS], norms


def _loss(subject: ModelUnderTest, model: RecurrentModel, steps: int, kinds: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return inputs of some kinds, and a loss of the model's last output for them."""
    x = like_tasks(subject, subject.length(steps))[[KINDS.index(kind) for kind in kinds]].requires_grad_()
    last = run(model, x).last
    return x, (last * subject.noise(*last.shape, seed=2)).sum()


def _norm(gradient: Tensor | None) -> float:
    if gradient is None:
        return 0.0
    real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
    return float(real.double().norm())
