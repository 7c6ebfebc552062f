"""Test that higher derivatives equal those of the loop over ``step``, with every back end."""

from collections.abc import Callable

import pytest
import torch
from scan_support import SOURCES, random_cell, random_run
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from asrnn import RecurrentCell
from asrnn.ops import scan_with

EVERY = pytest.mark.parametrize("name", SOURCES)
# float64, second derivatives of four steps of which each enlarges a rounding a few times. Those of torch.matrix_exp err
# by 1e-12 of their largest number.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def loss(cell: RecurrentCell, x: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on every output and on every part of the last state."""
    outputs, last = cell.scan(x, state, return_sequence=True)
    return outputs.square().sum() + sum(part.sin().sum() for part in last)


def double_backward(cell, x, state) -> tuple[Tensor, ...]:
    towards = [x.clone().requires_grad_(), *cell.parameters()]
    first = torch.autograd.grad(
        loss(cell, towards[0], state), towards, create_graph=True, allow_unused=True, materialize_grads=True
    )
    penalty = sum(grad.square().sum() for grad in first)
    return torch.autograd.grad(penalty, towards, allow_unused=True, materialize_grads=True)


def batch_of_gradients(cell, x, state) -> tuple[Tensor, ...]:
    x = x.clone().requires_grad_()
    last, _ = cell.scan(x, state)
    basis = torch.eye(last.numel(), dtype=last.dtype).view(-1, *last.shape)
    return torch.autograd.grad(last, x, basis, is_grads_batched=True)


def vmapped_gradients(cell, x, state) -> Tensor:
    x = x.clone().requires_grad_()
    last, _ = cell.scan(x, state)
    basis = torch.eye(last.numel(), dtype=last.dtype).view(-1, *last.shape)
    return torch.func.vmap(lambda v: torch.autograd.grad(last, x, v, retain_graph=True)[0])(basis)


BEYOND: dict[str, Callable] = {
    "double backward": double_backward,
    "hessian": lambda cell, x, state: hessian(lambda x: loss(cell, x, state), x),
    "hessian, vectorized": lambda cell, x, state: hessian(lambda x: loss(cell, x, state), x, vectorize=True),
    "jacobian, vectorized": lambda cell, x, state: jacobian(lambda x: cell.scan(x, state)[0], x, vectorize=True),
    "batch of gradients": batch_of_gradients,
    "vmap of gradients": vmapped_gradients,
    "func.grad": lambda cell, x, state: torch.func.grad(lambda x: loss(cell, x, state))(x),
    "func.jvp": lambda cell, x, state: torch.func.jvp(lambda x: cell.scan(x, state)[0], (x,), (x,)),
    "func.vmap": lambda cell, x, state: torch.func.vmap(lambda x: cell.scan(x, state)[0])(torch.stack([x, -x])),
    "func.hessian": lambda cell, x, state: torch.func.hessian(lambda x: loss(cell, x, state))(x),
}


@EVERY
@pytest.mark.parametrize("derivative", BEYOND.values(), ids=BEYOND)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch.func.jvp itself
def test_derivatives_are_those_of_the_loop(name: str, derivative: Callable) -> None:
    cell = random_cell(name, 2, 3)
    x, state = random_run(cell, 2, 4)
    x, state = x.detach(), tuple(part.detach() for part in state)
    found = derivative(cell, x, state)
    with scan_with("loop"):
        expected = derivative(cell, x, state)
    torch.testing.assert_close(found, expected, **CLOSE)
    tensors = found if isinstance(found, tuple) else (found,)
    assert any(tensor.any() for tensor in tensors)


def test_a_third_derivative() -> None:
    cell = random_cell("antisymmetric", 2, 3)
    x, state = (each.detach() if isinstance(each, Tensor) else each for each in random_run(cell, 2, 4))

    def third() -> Tensor:
        return jacobian(lambda x: hessian(lambda x: loss(cell, x, state), x, create_graph=True).sum(), x)

    found = third()
    with scan_with("loop"):
        torch.testing.assert_close(found, third(), **CLOSE)
    assert found.any()
