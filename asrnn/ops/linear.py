"""Compute recurrences that are linear in the state over all time steps at once, or in blocks of steps.

- :func:`linear_recurrence`: h_t = a_t h_{t-1} + b_t, element by element, where every state is needed.
- :class:`DiagonalFilter`: the same state, where only a weighted sum of its elements is needed at each step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.errors import ModelError
from asrnn.ops.derivatives import beyond_one_gradient, under_a_transform

_FEW_STEPS = 32  # not worth halving: the ten operations of one halving take as long

# A step of this many numbers keeps the device busy by itself. On a CPU core, halving a long sequence of large steps
# moves three times as much memory as computing them in order. On a GPU a kernel takes 5 us to start. In that time the
# memory moves about four numbers of 4 bytes for each of a million elements.
_LARGE_STEP = {"cpu": 512, "cuda": 2**20}

_BLOCK = 64  # steps; with 32 complex states a feature, the products within blocks cost as much as those between blocks


def linear_recurrence(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Solve h_t = a_t h_{t-1} + b_t for all t, in parallel over time where single steps are small.

    Two steps combine to one: h_{t+1} = (a_{t+1} a_t) h_{t-1} + (a_{t+1} b_t + b_{t+1}). Every second state is therefore
    the solution of a recurrence of half the length, and the other states follow from those (Blelloch, CMU-CS-90-190,
    1990). Work and memory are linear in T, the depth is logarithmic. Steps that are large enough to keep the device
    busy are computed in order instead, which moves less memory. The method divides nothing, so it is stable for
    |a| <= 1. The gradient g_t = conj(a_{t+1}) g_{t+1} + dL/dh_t is a recurrence backwards in time. It needs only a
    and h.

    Args:
        a: the factors, ``[T, ...]``, or ``[1, ...]`` if all steps have the same; other axes may be 1 too.
        b: the addends, ``[T, ...]``, T >= 1. All three tensors are real, or all are complex.
        start: the state before the first step, in the shape of one step of b.

    Returns:
        the states h_1 to h_T, in the shape of b.

    Raises:
        ModelError: the shapes do not match.
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
    """Compute the states in order, with operations that every transform of torch supports."""
    states = [start]
    for a_t, b_t in zip(a.expand(len(b), *a.shape[1:]).unbind(0), b.unbind(0), strict=True):
        states.append(a_t * states[-1] + b_t)
    return torch.stack(states[1:])


class _Solution(torch.autograd.Function):
    """The solution of a linear recurrence, with its gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        states = b.new_empty(b.shape)
        _solve(a, b, start, states, reverse=False)
        ctx.save_for_backward(a, start, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        a, start, states = ctx.saved_tensors
        needs_a, _, needs_start = ctx.needs_input_grad
        if beyond_one_gradient(grad):
            found = _gradients_in_order(a, start, states, grad)
            return found[0] if needs_a else None, found[1], found[2] if needs_start else None
        factors = a.conj().resolve_conj()
        b_grad = grad.new_empty(grad.shape)
        b_grad[-1] = grad[-1]
        if len(grad) > 1:
            later = factors if len(a) == 1 else factors[1:]
            _solve(later, grad[:-1], grad[-1], b_grad[:-1], reverse=True)
        return (
            _factor_grads(b_grad, start, states).sum_to_size(a.shape) if needs_a else None,
            b_grad,
            factors[0] * b_grad[0] if needs_start else None,
        )


def _gradients_in_order(a: Tensor, start: Tensor, states: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and start, computed in order by operations that are differentiable themselves."""
    factors = a.conj()
    if len(a) > 1:  # the first step backwards starts from 0, so its factor has no effect
        factors = torch.cat([factors[:1], factors[1:].flip(0)])
    b_grad = _in_order(factors, grad.flip(0), torch.zeros_like(start)).flip(0)
    before = torch.cat([start[None], states[:-1]])
    return (b_grad * before.conj()).sum_to_size(a.shape), b_grad, a[0].conj() * b_grad[0]


def _factor_grads(grad: Tensor, start: Tensor, states: Tensor) -> Tensor:
    """Return the gradients of the factors: the gradient of each step times the conjugate of the state before it."""
    products = grad.new_empty(grad.shape)
    torch.mul(grad[0], start.conj(), out=products[0])
    torch.mul(grad[1:], states[:-1].conj(), out=products[1:])
    return products


def _solve(a: Tensor, b: Tensor, start: Tensor, states: Tensor, *, reverse: bool) -> None:
    """Write the states, in the order of time or in the reverse order, by halving the sequence."""
    num_steps = len(b)
    if num_steps <= _FEW_STEPS or start.numel() >= _LARGE_STEP.get(b.device.type, 2**20):
        _solve_in_order(a, b, start, states, reverse=reverse)
        return
    alone, others = (slice(-1, None), slice(0, -1)) if reverse else (slice(0, 1), slice(1, None))
    if num_steps % 2:  # compute the first step alone and the others in pairs
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


def _solve_in_order(a: Tensor, b: Tensor, state: Tensor, states: Tensor, *, reverse: bool) -> None:
    """Write the states one by one, in the order of time or in the reverse order."""
    steps = list(zip(a.expand(len(b), *a.shape[1:]).unbind(0), b.unbind(0), states.unbind(0), strict=True))
    for a_t, b_t, state_t in reversed(steps) if reverse else steps:
        state = torch.addcmul(b_t, a_t, state, out=state_t)


def _at(a: Tensor, steps: slice) -> Tensor:
    """Return the factors of some steps; a single factor holds for all steps."""
    return a if len(a) == 1 else a[steps]


@dataclass(frozen=True, slots=True)
class DiagonalFilter:
    """A linear filter of each feature, with a diagonal state of N complex numbers.

    s_t = exp(rate) s_{t-1} + B u_t,   y_t = Re sum_n C_n s_{t,n}

    The steps are computed in blocks, by three matrix products: the output of a block from its own inputs, with the
    triangular matrix of the impulse response; the change of the state over a block from the same inputs; and the part
    of the output that depends on the state before the block. A linear recurrence takes the state from block to block.
    Memory therefore holds one state per block, not per step, and the work is linear in T. Unlike with Fourier
    transforms, the output of a step does not depend on later inputs, not even in its rounding.

    The parameters may be float64 where the input is float32. Only the small matrices made of them are rounded.

    Args:
        rate: the logarithm of the transition, complex with a real part <= 0, ``[H, N]``.
        B: the input weights, complex, ``[H, N]``.
        C: the output weights, complex, ``[H, N]``.
    """

    rate: Tensor
    B: Tensor
    C: Tensor

    def __call__(self, u: Tensor, start: Tensor, *, return_sequence: bool) -> tuple[Tensor, Tensor]:
        """Run the filter.

        Args:
            u: the input of all features, real, ``[T, B, H]``, T >= 1.
            start: the state before the first step, complex, ``[B, H, N]``.
            return_sequence: return the output of every step too.

        Returns:
            the output of every step ``[T, B, H]``, or of none ``[0, B, H]``, and the state after the last step.
        """
        num_steps, length = len(u), min(_BLOCK, len(u))
        powers = torch.exp(self.rate[..., None] * torch.arange(length + 1, device=u.device))
        whole = num_steps - num_steps % length
        parts, state = [u[:0]], start.transpose(0, 1)
        for steps, size in ((u[:whole], length), (u[whole:], num_steps - whole)):
            if size:
                blocks = steps.view(len(steps) // size, size, *steps.shape[1:])
                part, state = self._blocks(blocks, powers[..., : size + 1], state, return_sequence)
                parts.append(part)
        return torch.cat(parts), state.transpose(0, 1)

    def _blocks(self, blocks: Tensor, powers: Tensor, state: Tensor, return_sequence: bool) -> tuple[Tensor, Tensor]:
        """Filter blocks ``[number, L, B, H]`` from a state ``[H, B, N]``, given the powers 0 to L of the transition."""
        number, length, batch_size, num_features = blocks.shape
        u = blocks.permute(3, 0, 2, 1).reshape(num_features, number * batch_size, length)
        added = _complex(u @ _real(self.B[..., None] * powers[..., :-1].flip(-1)).to(u.dtype).transpose(1, 2))
        added = added.view(num_features, number, batch_size, added.shape[-1]).transpose(0, 1)
        after = linear_recurrence(powers[None, :, None, :, -1].to(added.dtype), added, state)
        if not return_sequence:
            return blocks.new_empty(0, batch_size, num_features), after[-1]
        before = torch.cat([state[None], after[:-1]]).transpose(0, 1).flatten(1, 2)
        response = ((self.C * self.B)[..., None] * powers[..., :-1]).sum(1).real.to(u.dtype)
        y = torch.baddbmm(
            u @ _triangular(response).transpose(1, 2),
            torch.stack((before.real, before.imag), dim=-1).flatten(-2),
            _real((self.C[..., None] * powers[..., 1:]).conj()).to(u.dtype),
        )
        if y.requires_grad:  # a gradient with another layout would make torch multiply feature by feature
            y.register_hook(_contiguous)  # type: ignore[no-untyped-call]
        return y.view(num_features, number, batch_size, length).permute(1, 3, 2, 0).flatten(0, 1), after[-1]


def _contiguous(grad: Tensor | None) -> Tensor | None:
    """Return a gradient in the layout of its tensor; there is none where nothing needs it."""
    return None if grad is None else grad.contiguous()


def _real(weights: Tensor) -> Tensor:
    """Convert complex rows ``[H, N, L]`` to real rows ``[H, 2 N, L]``: a real and an imaginary row for each state."""
    # view_as_real would fail in torch 2.7: its backward refuses gradients of some layouts.
    return torch.stack((weights.real, weights.imag), dim=2).flatten(1, 2)


def _complex(parts: Tensor) -> Tensor:
    """Convert alternating real and imaginary parts, ``[..., 2 N]``, to complex numbers, ``[..., N]``."""
    return torch.view_as_complex(parts.view(*parts.shape[:-1], parts.shape[-1] // 2, 2))


def _triangular(response: Tensor) -> Tensor:
    """Return the lower triangular matrices with K_{i-j} in row i and column j <= i, ``[H, L]`` to ``[H, L, L]``."""
    length = response.shape[-1]
    return F.pad(response, (length - 1, 0)).unfold(-1, length, 1).flip(-1)
