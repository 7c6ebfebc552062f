"""Check that gradients are right, and that they arrive wherever the output depends on the input."""

from dataclasses import dataclass

import torch
from torch import Tensor

from asrnn.contract.check import check
from asrnn.contract.checks.precision import computes_in_float64
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, passed, skipped
from asrnn.contract.running import gradients_of, model_code, run, trained_parameters
from asrnn.models import RecurrentModel

SHORT, LONG = 4, 1025
"""The steps of the comparison of every gradient with differences, and of the input's gradient. The second is longer
than any task, and just above the lengths at which people cut the graph."""

SMALL = 0.1
"""The scale of inputs: small, so that activations are nearly linear and early inputs still show."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How gradients and differences are compared.

    Args:
        dtype: the precision of the model.
        nudge: how far a tensor is moved to either side, in units of N(0, 1).
        bound: the largest distance of a difference quotient from the derivative, relative to the larger of the two.
    """

    dtype: torch.dtype
    nudge: float
    bound: float


DOUBLE = Precision(torch.float64, 1e-6, 1e-5)
"""Differences have an error of 1e-12 times a third derivative, and of 1e-16 / 1e-6 by rounding."""

SINGLE = Precision(torch.float32, 1e-2, 5e-2)
"""Differences have an error of 1e-4 times a third derivative, and of 1e-5 times the root of a few hundred terms."""

NUDGE, SEEN = 1e-5, 1e-14
"""How far one input is moved in float64, and how far an output that depends on it moves at least, relative to it.

Float64 rounds at 1e-16. So a gradient of exactly 0 was cut, unless the output does not depend on the input either, as
behind a rectifier with output 0; so small a move hardly ever meets its kink."""

UNSTEADY = 1e-3
"""The disagreement of differences with two nudges from which the outputs are too chaotic for any comparison."""

ATTEMPTS = 3
"""How many inputs are tried. A difference across a kink is no derivative, and other inputs meet no kink."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A weighted sum of all outputs of a model in training, with the same random numbers at every call."""

    subject: ModelUnderTest
    model: RecurrentModel

    def __call__(self, x: Tensor) -> Tensor:
        """Run the model and sum its outputs in float64."""
        with seeded(11):
            outputs = run(self.model, x).outputs.double()
        return (self.subject.noise(*outputs.shape, seed=2, dtype=torch.float64) * outputs).sum()

    def gradients(self, x: Tensor, tensors: list[Tensor]) -> list[Tensor | None]:
        """Return the gradients of the loss."""
        return gradients_of(self(x), tensors)

    @torch.no_grad()
    def derivative(self, x: Tensor, tensor: Tensor, direction: Tensor, nudge: float) -> float:
        """Return the derivative along a direction from values on both sides, for a tensor of the model or for x."""
        values = []
        before = tensor.detach().clone()
        for sign in (1, -1):
            tensor.data.copy_(before + sign * nudge * direction)
            values.append(self(x).item())
        tensor.data.copy_(before)
        return (values[0] - values[1]) / (2 * nudge)


def _precision(subject: ModelUnderTest) -> Precision:
    return DOUBLE if subject.once(computes_in_float64) else SINGLE


def _model(subject: ModelUnderTest, dtype: torch.dtype) -> RecurrentModel:
    """Build a model in training mode, or in evaluation mode if its noise ignores the seeds."""
    model = subject.build().train()
    if dtype == torch.float64:
        with model_code():
            model = model.double()
    x = subject.sequences(2, SHORT, dtype=dtype)
    loss = Loss(subject, model)
    with torch.no_grad():
        return model if torch.equal(loss(x), loss(x)) else model.eval()


def _no_gradient(subject: ModelUnderTest) -> Verdict | None:
    if not trained_parameters(subject.build()):
        return skipped("nothing to see: it has no number that is trained, so that no gradient is needed")
    return None


@check("gradient-arrives", "hard", needs=("builds", "deterministic", "linear-cost"))
def gradient_arrives(subject: ModelUnderTest) -> Verdict:
    """The gradient arrives at every input that the outputs depend on."""
    lawful = _no_gradient(subject)
    if lawful:
        return lawful
    precision = _precision(subject)
    model = _model(subject, precision.dtype)
    verdict = _last_output(subject, model, precision)
    if verdict.outcome == "passed" and "reaches all" not in verdict.found:
        # A model that forgets may hide a cut: without its biases its activations stay near 0, where slopes are largest.
        nearer = _model(subject, precision.dtype)
        for name, parameter in trained_parameters(nearer).items():
            if "bias" in name:
                parameter.data.zero_()
        bold = _last_output(subject, nearer, precision, 1e-3)
        verdict = bold if bold.outcome == "failed" else verdict
    if verdict.outcome == "failed" or precision is SINGLE:
        return verdict
    analytic = numerical = 0.0
    for attempt in range(ATTEMPTS):
        found = _all_outputs(subject, model, precision, seed=10 + attempt)
        if found is None:
            return verdict
        analytic, numerical = found
    return failed(
        f"over {subject.length(LONG):,} steps the gradient of the input is {analytic:.6g} in one direction, and "
        f"differences of the outputs give {numerical:.6g}",
        "look for detach(), .data, .item(), numpy() or no_grad() between the steps, or a backward that is not the "
        "forward's",
    )


def _last_output(subject: ModelUnderTest, model: RecurrentModel, precision: Precision, size: float = SMALL) -> Verdict:
    """Find steps whose input has a gradient of 0, although the last output depends on it."""
    dtype, num_steps = precision.dtype, subject.length(LONG)
    x = size * subject.sequences(2, num_steps, dtype=dtype)
    x.requires_grad_()
    with seeded(11):
        last = run(model, x).last
    weights = subject.noise(*last.shape, seed=2, dtype=dtype)
    (gradient,) = gradients_of((weights * last).sum(), [x])
    missed = range(num_steps) if gradient is None else (gradient.abs().amax(dim=(0, 2)) == 0).nonzero()[:, 0].tolist()
    if not missed:
        return passed(f"it reaches all {num_steps:,} steps")
    step = max(missed)
    lag = num_steps - 1 - step
    nudge, seen = (NUDGE, SEEN) if precision is DOUBLE else (1.0, 1e-5)
    nudged = x.detach().clone()
    nudged[:, step] += nudge * subject.noise(2, subject.input_size, seed=3, dtype=dtype)
    with torch.no_grad(), seeded(11):
        change = (run(model, nudged).last - last).abs().max() / last.abs().max().clamp(min=1e-300)
    if change > seen:
        return failed(
            f"the last output depends on the input of step {step + 1:,} of {num_steps:,}, yet its gradient there is "
            "exactly 0",
            "look for detach(), .data, .item(), numpy() or no_grad() between the steps",
        )
    if lag == 0:
        return skipped("not to be seen: with the weights it starts with, the output depends on no input")
    if lag == 1:
        return skipped("not to be seen: with the weights it starts with, the output depends on the last input alone")
    return passed(f"it reaches {lag - 1} steps back; the output does not depend on the input {lag} steps back either")


def _all_outputs(
    subject: ModelUnderTest, model: RecurrentModel, precision: Precision, seed: int
) -> tuple[float, float] | None:
    """Compare the input's gradient with differences of all outputs, which a cut of the graph does not change.

    Returns:
        the derivatives by gradient and by differences, if they differ; None if they agree, or if the outputs are too
        chaotic for differences.
    """
    num_steps = subject.length(LONG)
    x = SMALL * subject.sequences(2, num_steps, dtype=precision.dtype, seed=seed)
    direction = subject.sequences(2, num_steps, dtype=precision.dtype, seed=seed + 100)
    x.requires_grad_()
    loss = Loss(subject, model)
    (gradient,) = loss.gradients(x, [x])
    analytic = 0.0 if gradient is None else (gradient * direction).sum().item()
    near, far = (loss.derivative(x.detach(), x, direction, factor * precision.nudge) for factor in (1, 2))
    size = max(abs(near), abs(analytic))
    if not size or near == 0:
        return None  # the outputs do not depend on the inputs, or in steps only
    # Differences err with the square of the nudge: those of two nudges differ by three times the error of the first.
    error = abs(near - far)
    if error > UNSTEADY * abs(near):
        return None
    return None if abs(near - analytic) <= precision.bound * size + 10 * error else (analytic, near)


@check("gradcheck", "hard", needs=("builds", "deterministic"))
def gradcheck(subject: ModelUnderTest) -> Verdict:
    """Gradients are those of finite differences."""
    lawful = _no_gradient(subject)
    if lawful:
        return lawful
    precision = _precision(subject)
    model = _model(subject, precision.dtype)
    parameters = trained_parameters(model)
    in_steps: list[str] = []
    for name in ("the input", *parameters):
        wrong = _wrong_gradient(subject, model, precision, name, in_steps)
        if wrong:
            return failed(
                f"the gradient of {name} is {wrong[0]:.6g} in one direction, and differences of the outputs give "
                f"{wrong[1]:.6g}",
                "mend the backward, or what cuts the graph on one of several ways",
            )
    kind = str(precision.dtype).removeprefix("torch.")
    but = f"; the outputs depend on {in_steps[0]} in steps, of which no differences tell" if in_steps else ""
    return passed(f"the input and {len(parameters)} parameters, at T={SHORT} in {kind}{but}")


def _wrong_gradient(
    subject: ModelUnderTest, model: RecurrentModel, precision: Precision, name: str, in_steps: list[str]
) -> tuple[float, float] | None:
    """Return the derivatives by gradient and by differences, if they differ for several inputs."""
    wrong = None
    for attempt in range(ATTEMPTS):
        x = subject.sequences(2, SHORT, seed=20 + attempt, dtype=precision.dtype).requires_grad_()
        tensor: Tensor = x if name == "the input" else trained_parameters(model)[name]
        loss = Loss(subject, model)
        (gradient,) = loss.gradients(x, [tensor])
        direction = subject.noise(*tensor.shape, seed=30 + attempt, dtype=torch.float64)
        direction = direction.to(tensor.dtype)
        # Both parts of a complex number are moved. Its gradient is that of the real part plus i times the other.
        if tensor.is_complex():
            direction = direction * (1 + 1j) / 2**0.5
        numerical = loss.derivative(x.detach(), tensor, direction, precision.nudge)
        analytic = 0.0 if gradient is None else (gradient.conj() * direction).sum().real.item()
        size = max(abs(analytic), abs(numerical))
        floor = precision.bound * (0.0 if gradient is None else gradient.abs().max().item())
        if numerical == 0 and analytic != 0:
            in_steps.append(name)
            return None
        if abs(analytic - numerical) <= precision.bound * size + max(floor, 1e-9 if precision is DOUBLE else 1e-3):
            return None
        wrong = (analytic, numerical)
    return wrong
