"""The model gives the same numbers again: from the same seed, on a second call, and out of its state dict."""

import torch

from asrnn.contract.check import TOLERANCE, Check
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.subject import INPUT_SIZE, Subject, largest_change, noise, run, trained_parameters


def _initialization(subject: Subject) -> Verdict:
    first, second = (subject.build(seed=5).recurrence.state_dict() for _ in range(2))
    for name, tensor in first.items():
        if name not in second or not torch.equal(tensor, second[name]):
            return failed(
                f"{name} differs between two models built with one seed",
                "draw weights from torch's generator alone, not from random or numpy",
            )
    return passed(f"{len(first)} tensors equal to the bit")


def _deterministic(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(3, 9, INPUT_SIZE).requires_grad_()
    watched = {"the input": x, **trained_parameters(model)}
    runs = []
    for _ in range(2):
        outputs = run(model, x).outputs
        found = torch.autograd.grad(outputs.square().sum(), list(watched.values()), allow_unused=True)
        runs.append((outputs, dict(zip(watched, found, strict=True))))
    (one, gradients), (other, others) = runs
    change = largest_change(other, one)
    if not torch.equal(one, other):
        return failed(
            f"outputs of two calls on one input in evaluation mode differ by {change:.2g} times the largest",
            "draw noise only where self.training, and keep nothing from one call for the next",
        )
    for name, gradient in gradients.items():
        again = others[name]
        if gradient is not None and (again is None or not torch.equal(gradient, again)):
            return failed(f"two backwards give different gradients of {name}", "let the backward draw nothing")
    return passed("outputs and gradients equal to the bit")


def _state_dict(subject: Subject) -> Verdict:
    model, x = subject.build(seed=0), noise(2, 9, INPUT_SIZE)
    other = subject.build(seed=1)
    other.recurrence.load_state_dict(model.recurrence.state_dict())
    change = largest_change(run(other, x).outputs, run(model, x).outputs)
    if change:
        return failed(
            f"outputs of another model with the same state dict differ by {change:.2g} times the largest",
            "hold every tensor that is drawn or learnt as nn.Parameter or with register_buffer",
        )
    return passed(f"{len(model.recurrence.state_dict())} tensors; outputs equal to the bit")


def _train_is_eval(subject: Subject) -> Verdict:
    model, x = subject.build(), noise(4, 9, INPUT_SIZE)
    expected = run(model, x).outputs
    model.train()
    before = {name: buffer.clone() for name, buffer in model.recurrence.named_buffers()}
    first, second = run(model, x).outputs, run(model, x).outputs
    changed = [name for name, buffer in model.recurrence.named_buffers() if not torch.equal(before[name], buffer)]
    if changed:
        return skipped(f"not to be seen: it keeps running statistics in training ({listed(changed)})")
    if not torch.equal(first, second):
        return skipped("not to be seen: it is stochastic in training, as with dropout")
    change = largest_change(first, expected)
    if change > TOLERANCE:
        return failed(
            f"outputs in training and in evaluation differ by {change:.2g} times the largest, though nothing is random",
            "do the same in both modes: what is validated must be what was trained",
        )
    return passed(f"largest difference {change:.1g}")


CHECKS = (
    Check("initialization", "hard", "the same seed gives the same weights", _initialization, ("builds",)),
    Check("deterministic", "hard", "two calls and their backwards give the same numbers", _deterministic, ("builds",)),
    Check("state-dict", "hard", "the state dict holds the whole model", _state_dict, ("builds", "deterministic")),
    Check(
        "train-is-eval",
        "hard",
        "training and evaluation agree where nothing is random",
        _train_is_eval,
        ("builds", "deterministic"),
    ),
)
