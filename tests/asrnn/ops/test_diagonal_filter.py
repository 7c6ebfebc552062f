"""Diagonal filters, compared with the recurrence step by step; and their memory."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asrnn.ops import DiagonalFilter

# float64; sums of up to 1000 terms that decay, in another order.
TOLERANCE = {"rtol": 1e-10, "atol": 1e-11}


def operands(num_steps: int, B: int = 3, H: int = 2, N: int = 4, dtype=torch.float64) -> list[Tensor]:
    """Return rates with decays from 1 to 1e-3 per step, weights, an input and a state, which all need gradients."""
    generator = torch.Generator().manual_seed(num_steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.complex128)

    rate = torch.complex(-(10.0 ** -(3 * torch.rand(H, N, generator=generator, dtype=torch.float64))), draw(H, N).imag)
    u, weights = draw(num_steps, B, H).real, (rate, draw(H, N), draw(H, N))
    parts = [*(weight.to(dtype.to_complex()) for weight in weights), u.to(dtype), draw(B, H, N).to(dtype.to_complex())]
    return [part.clone().requires_grad_() for part in parts]


def by_steps(rate: Tensor, B: Tensor, C: Tensor, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the recurrence step by step."""
    outputs = []
    for u_t in u.unbind(0):
        state = torch.exp(rate) * state + B * u_t[..., None]
        outputs.append((C * state).sum(-1).real)
    return torch.stack(outputs), state


def gradients(outputs: tuple[Tensor, ...], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    weighted = (torch.randn(each.shape, generator=generator, dtype=torch.complex128) * each for each in outputs)
    return torch.autograd.grad(sum(each.sum().real for each in weighted), inputs)


@pytest.mark.parametrize("num_steps", [1, 5, 63, 64, 65, 128, 150, 1000])
def test_values_and_gradients(nan_memory, num_steps: int) -> None:
    rate, B, C, u, start = inputs = operands(num_steps)
    found = DiagonalFilter(rate, B, C)(u, start, return_sequence=True)
    expected = by_steps(*inputs)
    torch.testing.assert_close(found, expected, **TOLERANCE)
    torch.testing.assert_close(gradients(found, inputs), gradients(expected, inputs), **TOLERANCE)


@pytest.mark.parametrize("num_steps", [5, 64, 150])
def test_without_the_sequence_the_last_state_is_the_same(num_steps: int) -> None:
    rate, B, C, u, start = inputs = operands(num_steps)
    sequence, last = DiagonalFilter(rate, B, C)(u, start, return_sequence=False)
    assert sequence.shape == (0, 3, 2)
    expected = by_steps(*inputs)[1]
    torch.testing.assert_close(last, expected, **TOLERANCE)
    reached = [rate, B, u, start]
    torch.testing.assert_close(gradients((last,), reached), gradients((expected,), reached), **TOLERANCE)


def test_an_impulse_gives_the_closed_form() -> None:
    rate, B, C, u, start = (part.detach() for part in operands(200))
    impulse = torch.zeros_like(u)
    impulse[0] = 1
    found, _ = DiagonalFilter(rate, B, C)(impulse, torch.zeros_like(start), return_sequence=True)
    for t in (0, 1, 63, 64, 199):
        torch.testing.assert_close(found[t, 0], (C * B * torch.exp(t * rate)).sum(-1).real, **TOLERANCE)


@pytest.mark.parametrize("t", [7, 63, 64, 140])
def test_outputs_do_not_depend_on_later_inputs(t: int) -> None:
    rate, B, C, u, start = operands(150)
    filters = DiagonalFilter(rate, B, C)
    y, _ = filters(u, start, return_sequence=True)
    changed = u.detach().clone()
    changed[t + 1 :] += 10
    others, _ = filters(changed, start, return_sequence=True)
    assert torch.equal(y[: t + 1], others[: t + 1])
    (gradient,) = torch.autograd.grad(y[t].sum(), u)
    assert not gradient[t + 1 :].any()
    assert gradient[: t + 1].all()


def test_float32() -> None:
    inputs = operands(1000)
    singles = [part.detach().to(torch.float32 if part is inputs[3] else torch.complex64) for part in inputs]
    rate, B, C, u, start = singles
    y, last = DiagonalFilter(rate, B, C)(u, start, return_sequence=True)
    expected, expected_last = by_steps(
        *[part.detach().to(whole.dtype) for part, whole in zip(singles, inputs, strict=True)]
    )
    # Phases of up to 64 * 3 rad have a relative rounding error of 6e-8, which is 1e-5 of the largest number.
    for found, exact in ((y, expected), (last, expected_last)):
        assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


class Sizes(TorchDispatchMode):
    """Add up the sizes of the results of all operations, and keep the largest size."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self.total += leaf.numel()
                    self.largest = max(self.largest, leaf.numel())
        return result


def sizes(num_steps: int) -> Sizes:
    rate, B, C, u, start = operands(num_steps, B=16, H=4, N=16)
    with Sizes() as counted:
        y, last = DiagonalFilter(rate, B, C)(u, start, return_sequence=True)
        (y.sum() + last.real.sum()).backward()
    return counted


def test_the_states_of_single_steps_are_never_stored() -> None:
    num_steps = 1024
    # 16 complex states per feature and step would be 32 times the input. One state per block of 64 steps is half of it.
    assert sizes(num_steps).largest <= num_steps * 16 * 4


def test_memory_is_linear_in_time() -> None:
    found = [sizes(num_steps).total for num_steps in (512, 2048, 8192)]
    slopes = [math.log(after / before, 4) for before, after in itertools.pairwise(found)]
    # Below 1 where matrices of one block are as large as the sequence.
    assert all(0.7 <= slope <= 1.05 for slope in slopes), slopes
