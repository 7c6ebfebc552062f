"""Check that a model gives the same numbers from the same seed, in a second call, and from its state dict."""

import time
from contextlib import nullcontext
from unittest.mock import patch

import torch
from torch import Tensor, nn

from asrnn.contract.check import TOLERANCE, check
from asrnn.contract.checks.samples import statistics_of_batches
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.running import gradients_of, largest_change, model_code, run, trained_parameters
from asrnn.errors import ModelError
from asrnn.models import RecurrentModel

LATER_SECONDS = 1e7
"""Some four months, after which a dependence on the clock shows."""

SAME_IN_BOTH_MODES = ((4, 9), (128, 12), (2, 300))
"""B and T for the comparison of training and evaluation: a batch as large as a job's, and a long sequence."""


@check("initialization", "hard", needs=("builds",))
def initialization(subject: ModelUnderTest) -> Verdict:
    """The same seed gives the same weights."""
    first, second = (_tensors(subject.build(seed=5)) for _ in range(2))
    for name, tensor in first.items():
        if name not in second or not torch.equal(tensor, second[name]):
            return failed(
                f"{name} differs between two models built with one seed",
                "draw weights from torch's generator alone, not from random or numpy",
            )
    return passed(f"{len(first)} tensors equal to the bit")


@check("own-seed", "warning", needs=("builds",))
def own_seed(subject: ModelUnderTest) -> Verdict:
    """Another seed gives other weights, and other noise."""
    one, other = subject.build(seed=5), subject.build(seed=6)
    drawn = {name: p for name, p in trained_parameters(one).items() if p.numel() > 1 and not _is_constant(p)}
    others = dict(other.recurrence.named_parameters())
    if drawn and all(torch.equal(p, others[name]) for name, p in drawn.items() if name in others):
        return failed(
            f"{listed(list(drawn))} start from the same numbers with two seeds",
            "nothing is wrong where they are computed and not drawn; else draw them from torch's global generator, and "
            "do not call torch.manual_seed in the constructor",
        )
    states = []
    for seed in (1, 2):
        with seeded(seed):
            run(one.train(), subject.sequences(2, 3))
            states.append(torch.rand(4))
    if torch.equal(*states):
        return failed(
            "a call in training seeds torch's generator, so that every step draws the same numbers",
            "do not call torch.manual_seed in forward",
        )
    return passed("two seeds give two sets of weights")


@check("deterministic", "hard", needs=("builds",))
def deterministic(subject: ModelUnderTest) -> Verdict:
    """Two calls and their backwards give the same numbers."""
    model, x = subject.build(), subject.sequences(3, 9).requires_grad_()
    given = x.detach().clone()
    watched = {"the input": x, **trained_parameters(model)}
    for _ in range(3 if _is_scripted(model) else 0):  # TorchScript rewrites a function during its first runs
        gradients_of(run(model, x).outputs.square().sum(), list(watched.values()))
    runs: list[tuple[Tensor, Tensor, dict[str, Tensor | None]]] = []
    for later in (0.0, LATER_SECONDS):
        with seeded(int(later)), _clock_moved_by(later):
            outputs = run(model, x).outputs
            kept = outputs.detach().clone()
            found = gradients_of(outputs.square().sum(), list(watched.values()))
        runs.append((outputs, kept, dict(zip(watched, found, strict=True))))
    (first, one, gradients), (_, other, others) = runs
    run(model, subject.sequences(3, 9, seed=4))
    if not torch.equal(x.detach(), given):
        return failed("it changes its input in place", "work on a copy: x = x.clone()")
    if not torch.equal(one, other):
        return failed(
            f"outputs of two calls on one input in evaluation mode differ by {largest_change(other, one):.2g} times "
            "the largest",
            "draw noise only where self.training, read no clock, and keep nothing from one call for the next",
        )
    if not torch.equal(first.detach(), one):
        return failed("a later call overwrites the outputs of an earlier one", "return a new tensor from every call")
    name = other_gradient(gradients, others, subject.device)
    if name is not None:
        return failed(f"two backwards give different gradients of {name}", "let the backward draw nothing")
    return _other_gradient_modes(subject, model, given, one)


def _other_gradient_modes(subject: ModelUnderTest, model: RecurrentModel, x: Tensor, expected: Tensor) -> Verdict:
    """Compare with a run as in validation, which keeps no gradient."""
    for name, mode in (("torch.no_grad()", torch.no_grad()), ("torch.inference_mode()", torch.inference_mode())):
        with mode:
            change = largest_change(run(model, x.clone()).outputs, expected)
        if change > TOLERANCE:
            return failed(
                f"outputs under {name} differ by {change:.2g} times the largest from those with gradients",
                "compute the same whether gradients are kept or not: validations keep none",
            )
    model.recurrence.requires_grad_(False)
    change = largest_change(run(model, x).outputs, expected)
    if change > TOLERANCE:
        return failed(
            f"outputs differ by {change:.2g} times the largest where the parameters need no gradient",
            "compute the same whether gradients are kept or not",
        )
    return passed(f"outputs equal to the bit, gradients {_agreement(subject)}; outputs the same without gradients")


@check("state-dict", "hard", needs=("builds", "deterministic"))
def state_dict(subject: ModelUnderTest) -> Verdict:
    """The state dict holds the whole model."""
    model, x = subject.build(), subject.sequences(2, 9)
    other = subject.build(seed=1)
    with model_code():
        state = model.recurrence.state_dict()
        other.recurrence.load_state_dict(state)
    change = largest_change(run(other, x).outputs, run(model, x).outputs)
    if change:
        return failed(
            f"outputs of another model with the same state dict differ by {change:.2g} times the largest",
            "hold every tensor that is drawn or learnt as nn.Parameter or with register_buffer",
        )
    return passed(f"{len(state)} tensors; outputs equal to the bit")


@check("same-training", "hard", needs=("builds", "initialization", "deterministic"))
def same_training(subject: ModelUnderTest) -> Verdict:
    """A training from the same seed gives the same numbers."""
    (one, gradients), (other, others) = (_training_step(subject, seed=3) for _ in range(2))
    if not torch.equal(one, other):
        return failed(
            f"outputs of two trainings from one seed differ by {largest_change(other, one):.2g} times the largest",
            "draw from the global generators of torch, numpy or Python alone, and read no clock: a job seeds them",
        )
    name = other_gradient(gradients, others, subject.device)
    if name is not None:
        return failed(f"two backwards from one seed give different gradients of {name}", "seed what is drawn")
    return passed(f"outputs in training equal to the bit, gradients {_agreement(subject)}")


def other_gradient(gradients: dict[str, Tensor | None], others: dict[str, Tensor | None], device: str) -> str | None:
    """Return the first gradient that differs in a second backward pass; None if all are equal.

    On the CPU they must be equal to the bit. On a GPU atomic sums have no order, so they must be equal up to the
    tolerance times the largest of all gradients; a gradient that is 0 but for rounding has no size of its own.
    """
    apart = 0.0
    if torch.device(device).type != "cpu":
        apart = TOLERANCE * max((each.abs().max().item() for each in gradients.values() if each is not None), default=0)
    for name, gradient in gradients.items():
        again = others[name]
        if gradient is None or (again is not None and torch.equal(gradient, again)):
            continue
        if again is None or not torch.allclose(again, gradient, rtol=0, atol=apart):
            return name
    return None


def _agreement(subject: ModelUnderTest) -> str:
    return "too" if torch.device(subject.device).type == "cpu" else f"to {TOLERANCE:.0e} of the largest"


def _training_step(subject: ModelUnderTest, seed: int) -> tuple[Tensor, dict[str, Tensor | None]]:
    model = subject.build().train()
    parameters = trained_parameters(model)
    x = subject.sequences(8, 20)
    given = x.clone()
    with seeded(seed):
        outputs = run(model, x).outputs
        found = gradients_of(outputs.square().sum(), list(parameters.values()))
    if not torch.equal(x, given):
        raise ModelError("it changes its input in place in training: work on a copy, as x = x.clone()")
    return outputs.detach(), dict(zip(parameters, found, strict=True))


@check("train-is-eval", "hard", needs=("builds", "deterministic"))
@torch.no_grad()
def train_is_eval(subject: ModelUnderTest) -> Verdict:
    """Training and evaluation agree where nothing is random."""
    worst = 0.0
    for B, T in SAME_IN_BOTH_MODES:
        model, x = subject.build(), subject.sequences(B, T)
        expected = run(model, x).outputs
        buffers = {name: buffer.clone() for name, buffer in model.recurrence.named_buffers()}
        model.train()
        outputs = []
        for seed in (1, 2):
            with seeded(seed):
                outputs.append(run(model, x).outputs)
        now = dict(model.recurrence.named_buffers())
        changed = [
            name
            for name, before in buffers.items()
            if name not in now or before.shape != now[name].shape or not torch.equal(before, now[name])
        ]
        statistics = statistics_of_batches(subject, x) if changed else []
        if statistics:
            return skipped(f"not to be seen: it keeps running statistics in training ({listed(statistics)})")
        if not torch.equal(*outputs):
            return skipped(
                f"not to be seen: every call in training changes it ({listed(changed)})"
                if changed
                else "not to be seen: it is stochastic in training, as with dropout"
            )
        worst = max(worst, largest_change(outputs[0], expected))
        if worst > TOLERANCE:
            return failed(
                f"outputs in training and in evaluation differ by {worst:.2g} times the largest at B={B}, T={T}, "
                "though nothing is random",
                "do the same in both modes: what is validated must be what was trained",
            )
    return passed(f"largest difference {worst:.1g}")


def _tensors(model: RecurrentModel) -> dict[str, Tensor]:
    with model_code():
        state = model.recurrence.state_dict()
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _is_constant(tensor: Tensor) -> bool:
    return bool((tensor == tensor.flatten()[0]).all())


def _is_scripted(model: nn.Module) -> bool:
    return any(
        isinstance(each, torch.jit.ScriptModule | torch.jit.ScriptFunction)
        for module in model.modules()
        for each in (module, *vars(module).values())
    )


def _clock_moved_by(seconds: float):  # type: ignore[no-untyped-def]
    """Shift time.time(); a model that reads the clock in another way is found by the check in another process."""
    now = time.time
    return patch("time.time", lambda: now() + seconds) if seconds else nullcontext()
