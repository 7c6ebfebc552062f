"""Filters with a diagonal state that no one sees: their output over all time steps, a block of steps at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.ops.linear_recurrence import linear_recurrence

_BLOCK = 64  # steps; with 32 complex states a feature, products within blocks and between them cost the same


@dataclass(frozen=True, slots=True)
class DiagonalFilter:
    """s_t = exp(rate) s_{t-1} + B u_t,   y_t = Re sum_n C_n s_{t,n}, for each feature by itself.

    Within a block of steps the output is a product with the triangular matrix of the impulse response, and what the
    block adds to the state is another product; from block to block the state takes one step of a linear recurrence,
    and its part in a block's output is a third product. So there is a state a block in memory, not a state a step, work
    is linear in T, and a step's output depends on no later input, not even in its rounding, as it would with Fourier
    transforms.

    The parameters may be in float64 where the input is not: their functions of a block's length are small, and only
    those are rounded.

    Args:
        rate: the logarithm of the transition, complex with a real part of at most 0, ``[H, N]``.
        B: complex, ``[H, N]``.
        C: complex, ``[H, N]``.
    """

    rate: Tensor
    B: Tensor
    C: Tensor

    def __call__(self, u: Tensor, start: Tensor, *, return_sequence: bool) -> tuple[Tensor, Tensor]:
        """Run it.

        Args:
            u: the input of all features, real, ``[T, B, H]``, T at least 1.
            start: the state before the first step, complex, ``[B, H, N]``.
            return_sequence: return the output of every step too.

        Returns:
            the output of every step ``[T, B, H]``, or of none ``[0, B, H]``, and the state after the last.
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
        """Run it over ``[blocks, L, B, H]`` with the powers 0 to L of the transition, from a state ``[H, B, N]``."""
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
        if y.requires_grad:  # or products with a gradient in another order are taken feature by feature
            y.register_hook(_in_rows)  # type: ignore[no-untyped-call]
        return y.view(num_features, number, batch_size, length).permute(1, 3, 2, 0).flatten(0, 1), after[-1]


def _in_rows(grad: Tensor | None) -> Tensor | None:
    """Lay out a gradient as what it is the gradient of; there may be none, where nobody asked for it."""
    return None if grad is None else grad.contiguous()


def _real(weights: Tensor) -> Tensor:
    """Lay out complex rows as real ones, ``[H, N, L]`` to ``[H, 2 N, L]``: a real and an imaginary part a state."""
    # Not view_as_real, whose backward in torch 2.7 refuses gradients of some layouts.
    return torch.stack((weights.real, weights.imag), dim=2).flatten(1, 2)


def _complex(parts: Tensor) -> Tensor:
    """Take real and imaginary parts in turns together, ``[..., 2 N]`` to ``[..., N]``."""
    return torch.view_as_complex(parts.view(*parts.shape[:-1], parts.shape[-1] // 2, 2))


def _triangular(response: Tensor) -> Tensor:
    """Make the matrices with K_{i-j} in row i and column j up to i, ``[H, L]`` to ``[H, L, L]``."""
    length = response.shape[-1]
    return F.pad(response, (length - 1, 0)).unfold(-1, length, 1).flip(-1)
