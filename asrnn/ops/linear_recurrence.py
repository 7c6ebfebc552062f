"""Recurrences that are linear in the state, h_t = a_t h_{t-1} + b_t, element by element, over all steps at once."""

from typing import Any

import torch
from torch import Tensor

from asrnn.errors import ModelError
from asrnn.ops.derivatives import beyond_one_gradient, under_a_transform

_FEW_STEPS = 32  # not worth halving: ten operations on short tensors take as long

# A step of this many numbers keeps the device busy by itself. On a core, halving a long sequence of large steps reads
# and writes three times as much memory as taking them in order; on a GPU a kernel takes 5 us to start, in which the
# memory moves about four numbers of 4 bytes for each of a million elements.
_LARGE_STEP = {"cpu": 512, "cuda": 2**20}


def linear_recurrence(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Solve h_t = a_t h_{t-1} + b_t for all t, in parallel over time where single steps are small.

    Two steps are one step: h_{t+1} = (a_{t+1} a_t) h_{t-1} + (a_{t+1} b_t + b_{t+1}). So every second state follows
    from a recurrence of half the length, and the states between from those (Blelloch, CMU-CS-90-190, 1990). Work and
    memory are linear in T, and the depth is logarithmic. Where one step keeps the device busy, steps are taken in
    order, which moves less memory. It is stable where |a| is at most 1, as nothing is divided. The gradient is a
    recurrence backwards in time, g_t = conj(a_{t+1}) g_{t+1} + dL/dh_t, and needs of the forward a and h alone.

    Args:
        a: the factors, ``[T, ...]``, or ``[1, ...]`` where they are the same at all steps; other axes may be 1 as well.
        b: what is added, ``[T, ...]``, T at least 1; real or complex, as all three are.
        start: the state before the first step, as large as one step of b.

    Returns:
        the states h, in the shape of b.

    Raises:
        ModelError: shapes do not match.
    """
    if a.ndim != b.ndim or len(a) not in (1, len(b)) or start.shape != b.shape[1:]:
        raise ModelError(
            f"a linear recurrence takes a [T or 1, ...], b [T, ...] and a state like b at one step, "
            f"found {list(a.shape)}, {list(b.shape)} and {list(start.shape)}"
        )
    if under_a_transform():
        return _in_order(a, b, start)
    states: Tensor = _Solution.apply(a, b, start)
    return states


def _in_order(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Solve it by steps that every transform of torch can follow."""
    states = [start]
    for a_t, b_t in zip(a.expand(len(b), *a.shape[1:]).unbind(0), b.unbind(0), strict=True):
        states.append(a_t * states[-1] + b_t)
    return torch.stack(states[1:])


class _Solution(torch.autograd.Function):
    """The solution with its gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        states = b.new_empty(b.shape)
        _solve(a, b, start, states, reverse=False)
        ctx.save_for_backward(a, start, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        a, start, states = ctx.saved_tensors
        towards_a, _, towards_start = ctx.needs_input_grad
        if beyond_one_gradient(grad):
            found = _gradients_in_order(a, start, states, grad)
            return found[0] if towards_a else None, found[1], found[2] if towards_start else None
        factors = a.conj().resolve_conj()
        towards_b = grad.new_empty(grad.shape)
        towards_b[-1] = grad[-1]
        if len(grad) > 1:
            later = factors if len(a) == 1 else factors[1:]
            _solve(later, grad[:-1], grad[-1], towards_b[:-1], reverse=True)
        return (
            _towards_factors(towards_b, start, states).sum_to_size(a.shape) if towards_a else None,
            towards_b,
            factors[0] * towards_b[0] if towards_start else None,
        )


def _gradients_in_order(a: Tensor, start: Tensor, states: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients towards a, b and start by steps that can be differentiated themselves, as states can."""
    factors = a.conj()
    if len(a) > 1:  # the first step back starts from 0, so that its factor does not matter
        factors = torch.cat([factors[:1], factors[1:].flip(0)])
    towards_b = _in_order(factors, grad.flip(0), torch.zeros_like(start)).flip(0)
    before = torch.cat([start[None], states[:-1]])
    return (towards_b * before.conj()).sum_to_size(a.shape), towards_b, a[0].conj() * towards_b[0]


def _towards_factors(grad: Tensor, start: Tensor, states: Tensor) -> Tensor:
    """Multiply the gradient of each step by the state before it."""
    products = grad.new_empty(grad.shape)
    torch.mul(grad[0], start.conj(), out=products[0])
    torch.mul(grad[1:], states[:-1].conj(), out=products[1:])
    return products


def _solve(a: Tensor, b: Tensor, start: Tensor, states: Tensor, *, reverse: bool) -> None:
    """Write the states, from the first step to the last or, reversed, from the last to the first."""
    num_steps = len(b)
    if num_steps <= _FEW_STEPS or start.numel() >= _LARGE_STEP.get(b.device.type, 2**20):
        _take_steps(a, b, start, states, reverse=reverse)
        return
    alone, others = (slice(-1, None), slice(0, -1)) if reverse else (slice(0, 1), slice(1, None))
    if num_steps % 2:  # the step that is taken first goes alone, the others go in pairs
        torch.addcmul(b[alone], _at(a, alone), start, out=states[alone])
        _solve(_at(a, others), b[others], states[alone][0], states[others], reverse=reverse)
        return
    even, odd = slice(0, None, 2), slice(1, None, 2)
    first, second = (odd, even) if reverse else (even, odd)
    pairs = torch.addcmul(b[second], _at(a, second), b[first])
    _solve(_at(a, second) * _at(a, first), pairs, start, states[second], reverse=reverse)
    a, b, between, before = _at(a, first), b[first], states[first], states[second]
    torch.addcmul(b[alone], _at(a, alone), start, out=between[alone])
    before = before[1:] if reverse else before[:-1]
    torch.addcmul(b[others], _at(a, others), before, out=between[others])


def _take_steps(a: Tensor, b: Tensor, state: Tensor, states: Tensor, *, reverse: bool) -> None:
    """Write the states one by one."""
    steps = list(zip(a.expand(len(b), *a.shape[1:]).unbind(0), b.unbind(0), states.unbind(0), strict=True))
    for a_t, b_t, state_t in reversed(steps) if reverse else steps:
        state = torch.addcmul(b_t, a_t, state, out=state_t)


def _at(a: Tensor, steps: slice) -> Tensor:
    """Return the factors of some steps, which may be the same at all of them."""
    return a if len(a) == 1 else a[steps]
