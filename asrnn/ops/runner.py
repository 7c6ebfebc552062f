"""Take the steps of a fused scan: in Python on any device, in C, or in a kernel on the GPU."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence, Step, Tensors
from asrnn.ops.sums import product_over_rows

Project = Callable[[Tensor, Tensor], None]
"""Writes V x + b of a stretch of the input, ``[B, m, I]``, into the first slots of u, ``[m, B, S W]``."""

Forward = Callable[[Tensor, Tensors], None]
"""Steps forward: u ``[m, B, S W]`` of S slots, and the states ``[m + 1, B, W]`` each, whose first row is given."""

Backward = Callable[[Tensor, Tensors, Tensors, Tensor, Tensors, Tensors], None]
"""Steps back: u, the states, their gradients ``[B, W]``, delta ``[m, B, W]``, further gradients towards each output of
each step ``[m, B, W]``, if there are any, and those towards the vectors ``[W]``, which are added to."""


class Runner(ABC):
    """Runs the steps of a recurrence on buffers in which a unit's row is W wide, H rounded up if need be."""

    name: str
    """What a record calls it."""

    tolerance: float = 1e-5
    """How far outputs and gradients of a short scan may be off, by norms: some hundred roundings of 6e-8."""

    first_batch: int = 19
    """How many samples a tile of a first run has: more than are taken together, and not a multiple of them."""

    tiled: ClassVar[bool] = False
    """Whether each thread of the CPU takes a tile of the batch, or torch's operations share them out."""

    def width(self, hidden_size: int) -> int:
        """Return W, how wide it wants a row of H units."""
        return hidden_size

    def stretch(self, state: Tensor, num_steps: int) -> int:
        """Return how many steps are projected, run and multiplied in one go, for a state ``[B, W]``."""
        return num_steps

    def as_kept(self, weight: Tensor) -> Tensor:
        """Return a recurrent weight as it is multiplied by, where that is rounded."""
        return weight

    def project(self, operands: Operands) -> Project:
        """Prepare V and b once, and return what projects a stretch of the input."""

        def run(x: Tensor, u: Tensor) -> None:
            rows = u.flatten(0, 1)[:, : len(operands.bias)]
            time_major = x.transpose(0, 1).reshape(-1, x.shape[2])
            torch.addmm(operands.bias, time_major, operands.weight_ih.t(), out=rows)

        return run

    def towards_input_weights(self, x: Tensor, inputs: Tensor, towards_u: Tensor) -> Tensor:
        """Return the gradients of V and, as the last row, b, ``[I + 1, G W]``, transposed as that form is the fastest.

        Args:
            x: a stretch of the input, ``[B, m, I]``.
            inputs: where it may go, ``[m, B, I + 1]``, with ones behind it.
            towards_u: the gradient of what the products with it gave, ``[m, B, G W]``.
        """
        inputs[:, :, :-1].copy_(x.transpose(0, 1))
        return product_over_rows(inputs.flatten(0, 1), towards_u.flatten(0, 1))

    def add_product(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Add to ``out``, ``[P, Q]`` and contiguous, the product over their many rows of ``[n, P]`` and ``[n, Q]``."""
        out.addmm_(left.t(), right)

    @abstractmethod
    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """Prepare the weights once, and return what takes a stretch of steps."""

    def replay(self, recurrence: Recurrence, vectors: Tensors) -> Forward | None:
        """Return what makes the states of a stretch again from its first and what is kept in u, if anything does.

        Then only the first state of each stretch is kept, which halves the memory that a step goes through.
        """
        return None

    @abstractmethod
    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """Prepare the weights once, and return what goes back through a stretch of steps."""


class StepRunner(Runner):
    """A loop in Python over the in-place step functions: any device and precision."""

    name = "fused"

    def stretch(self, state: Tensor, num_steps: int) -> int:
        """Return so many steps that a stretch stays in a processor's cache between its passes."""
        return max(1, min(num_steps, 2**20 // state.numel())) if state.device.type == "cpu" else num_steps

    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """See :meth:`Runner.forward`."""

        def run(u: Tensor, states: Tensors) -> None:
            scratch = _scratch(recurrence, states[0])
            rows = list(zip(*(part.unbind(0) for part in states), strict=True))
            for t, u_t in enumerate(u.unbind(0)):
                recurrence.forward(Step(u_t, rows[t], rows[t + 1], weights, vectors, scratch))

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """See :meth:`Runner.backward`."""

        def run(
            u: Tensor, states: Tensors, grads: Tensors, delta: Tensor, more: Tensors, vector_grads: Tensors
        ) -> None:
            scratch = _scratch(recurrence, states[0])
            sums = [torch.zeros_like(states[0][0]) for _ in vectors]
            rows = list(zip(*(part.unbind(0) for part in states), strict=True))
            u_rows, deltas = u.unbind(0), delta.unbind(0) if recurrence.has_delta() else (delta,) * len(u)
            for t in reversed(range(len(u))):
                for grad, given in zip(grads, more, strict=False):
                    grad.add_(given[t])
                before, after = rows[t], rows[t + 1]
                recurrence.backward(Step(u_rows[t], before, after, weights, vectors, scratch, grads, deltas[t], sums))
            for grad, total in zip(vector_grads, sums, strict=True):
                grad.add_(total.sum(0))

        return run


def _scratch(recurrence: Recurrence, state: Tensor) -> list[Tensor]:
    return [torch.empty_like(state[0]) for _ in range(recurrence.num_scratch)]
