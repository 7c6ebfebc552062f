"""What a fused scan has to know of a recurrence."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

Tensors = Sequence[Tensor]


class Recurrence(ABC):
    """A recurrence state_t = f(state_{t-1}, u_t; weights): two in-place step functions, and what they keep.

    u_t = V x_t + b, ``[B, G H]``, is computed for many steps at once before the loop. :meth:`forward` puts in
    its place what the backward needs of the step, and :meth:`backward` in place of that the gradient towards
    u_t, so that one buffer serves all three.

    A new recurrence says how many inputs G it has, and writes the three methods for one time step or one
    stretch of steps, with torch's in-place operations and ``out=``: no step may allocate.

    Args:
        scalars: the constants of the equation, such as epsilon; in ``compiled`` code, ``scalars[0]``, ...
    """

    num_inputs: ClassVar[int] = 1
    """G, the input projections of H units each that are stacked in u."""

    num_scratch: ClassVar[int] = 1
    """How many buffers ``[B, H]`` a step needs to work in."""

    has_delta: ClassVar[bool] = False
    """Whether the gradient towards the recurrent product is not u's own, and has a buffer ``[B, H]`` a step."""

    compiled: ClassVar[Path | None] = None
    """The same in C, for :mod:`asrnn.ops.compiled`: one state, one square weight; ``scan.c`` says what it holds."""

    def __init__(self, *scalars: float) -> None:
        self.scalars = scalars

    @abstractmethod
    def forward(self, u: Tensor, before: Tensors, after: Tensors, weights: Tensors, scratch: Tensors) -> None:
        """Take one step.

        Args:
            u: in: V x_t + b, ``[B, G H]``; out: whatever :meth:`backward` needs.
            before: the state before the step, ``[B, H]`` each.
            after: where the state after the step goes.
            weights: the recurrent weights, as the cell gave them.
            scratch: ``num_scratch`` buffers ``[B, H]``, of any content.
        """

    @abstractmethod
    def backward(
        self,
        u: Tensor,
        before: Tensors,
        after: Tensors,
        grads: Tensors,
        delta: Tensor,
        weights: Tensors,
        scratch: Tensors,
    ) -> None:
        """Go back through one step.

        Args:
            u: in: what :meth:`forward` left; out: the gradient towards V x_t + b, ``[B, G H]``.
            before: the state before the step.
            after: the state after the step.
            grads: in: the gradients towards ``after``; out: towards ``before``.
            delta: out: the gradient towards the recurrent product, ``[B, H]``, where ``has_delta``.
            weights: the recurrent weights.
            scratch: as in :meth:`forward`.
        """

    @abstractmethod
    def accumulate(self, weight_grads: Tensors, u: Tensor, delta: Tensor, before: Tensors, after: Tensors) -> None:
        """Add what some steps contribute to the recurrent weights' gradients, as one product each.

        Args:
            weight_grads: one a weight, to add to.
            u: the gradients towards V x + b of these steps and samples, ``[N, G H]``.
            delta: the gradients towards the recurrent product, ``[N, H]``, where ``has_delta``.
            before: the states before these steps, ``[N, H]`` each.
            after: the states after them.
        """
