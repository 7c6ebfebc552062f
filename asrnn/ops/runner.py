"""Run the time steps of a fused scan: the interface of all runners, and a loop in Python for any device."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.ops.recurrence import Operands, Recurrence, Step, Tensors
from asrnn.ops.sums import product_over_rows

Project = Callable[[Tensor, Tensor], None]
"""Write V x + b of m steps of the input, ``[B, m, I]``, into the first slots of u, ``[m, B, S W]``."""

Forward = Callable[[Tensor, Tensors], None]
"""Compute m steps from u, ``[m, B, S W]``, and the first row of the states, ``[m + 1, B, W]`` each."""

Backward = Callable[[Tensor, Tensors, Tensors, Tensor, Tensors, Tensors], None]
"""Compute the gradients of m steps, in reverse. The arguments are:

- u, ``[m, B, S W]``: what the forward steps left; replaced by the gradients of u.
- the states, ``[m + 1, B, W]`` each.
- the gradients of the last state, ``[B, W]`` each; replaced by those of the first.
- the gradient of the products without a slot, ``[m, B, W]``; written.
- the gradients of each output of each step, ``[m, B, W]`` each, if there are any.
- the gradients of the vectors, ``[W]`` each; added to.
"""


class Runner(ABC):
    """Run the steps of a recurrence on buffers with rows of W numbers: H, rounded up as the runner needs it."""

    name: str
    """The name of the back end in a record."""

    tolerance: float = 1e-5
    """The largest relative error of outputs and gradients in a first run, by norms: some hundred roundings of 6e-8."""

    first_batch: int = 19
    """The samples per tile in the first run: more than are computed together, and not a multiple of them."""

    tiled: ClassVar[bool] = False
    """Whether each CPU thread computes a tile of the batch. Otherwise torch divides each operation between threads."""

    def width(self, hidden_size: int) -> int:
        """Return W, the length of a row of H units."""
        return hidden_size

    def chunk_length(self, state: Tensor, num_steps: int) -> int:
        """Return how many steps form one chunk, for a state ``[B, W]``."""
        return num_steps

    def rounded_weight(self, weight: Tensor) -> Tensor:
        """Return a recurrent weight as the runner multiplies with it; some runners round it."""
        return weight

    def project(self, operands: Operands) -> Project:
        """Prepare V and b once, and return the function that projects the inputs of a chunk."""

        def run(x: Tensor, u: Tensor) -> None:
            rows = u.flatten(0, 1)[:, : len(operands.bias)]
            time_major = x.transpose(0, 1).reshape(-1, x.shape[2])
            torch.addmm(operands.bias, time_major, operands.weight_ih.t(), out=rows)

        return run

    def input_weight_grads(self, x: Tensor, inputs: Tensor, projection_grad: Tensor) -> Tensor:
        """Return a chunk's gradients of V^T and, in the last row, of b, ``[I + 1, G W]``. V^T is faster than V.

        Args:
            x: the input of the chunk, ``[B, m, I]``.
            inputs: a buffer for the time-major input, ``[m, B, I + 1]``, whose last column is 1.
            projection_grad: the gradient of V x + b, ``[m, B, G W]``.
        """
        inputs[:, :, :-1].copy_(x.transpose(0, 1))
        return product_over_rows(inputs.flatten(0, 1), projection_grad.flatten(0, 1))

    def add_product(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Add left^T right to ``out``, for ``[n, P]``, ``[n, Q]`` and a contiguous ``[P, Q]``, where n is large."""
        out.addmm_(left.t(), right)

    @abstractmethod
    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """Prepare the weights once, and return the function that computes the steps of a chunk."""

    def replay(self, recurrence: Recurrence, vectors: Tensors) -> Forward | None:
        """Return the function that recomputes the states of a chunk from its first state and u; None if there is none.

        With it a scan keeps only the first state of each chunk, which halves the memory traffic of a step.
        """
        return None

    @abstractmethod
    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """Prepare the weights once, and return the function that computes the gradients of a chunk."""


class StepRunner(Runner):
    """A loop in Python over the in-place step functions, for any device and precision."""

    name = "fused"

    def chunk_length(self, state: Tensor, num_steps: int) -> int:
        """Return how many steps fit the processor's cache from one pass over a chunk to the next."""
        return max(1, min(num_steps, 2**20 // state.numel())) if state.device.type == "cpu" else num_steps

    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """Take the steps of a chunk forward; see :meth:`Runner.forward`."""

        def run(u: Tensor, states: Tensors) -> None:
            scratch = _scratch(recurrence, states[0])
            rows = list(zip(*(part.unbind(0) for part in states), strict=True))
            for t, u_t in enumerate(u.unbind(0)):
                recurrence.forward(Step(u_t, rows[t], rows[t + 1], weights, vectors, scratch))

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """Take the steps of a chunk backward; see :meth:`Runner.backward`."""

        def run(
            u: Tensor,
            states: Tensors,
            grads: Tensors,
            product_grad: Tensor,
            output_grads: Tensors,
            vector_grads: Tensors,
        ) -> None:
            scratch = _scratch(recurrence, states[0])
            sums = [torch.zeros_like(states[0][0]) for _ in vectors]
            rows = list(zip(*(part.unbind(0) for part in states), strict=True))
            u_rows = u.unbind(0)
            product_grads = product_grad.unbind(0) if recurrence.has_product_grad() else (product_grad,) * len(u)
            for t in reversed(range(len(u))):
                for grad, output_grad in zip(grads, output_grads, strict=False):
                    grad.add_(output_grad[t])
                before, after = rows[t], rows[t + 1]
                step = Step(u_rows[t], before, after, weights, vectors, scratch, grads, product_grads[t], sums)
                recurrence.backward(step)
            for grad, total in zip(vector_grads, sums, strict=True):
                grad.add_(total.sum(0))

        return run


def _scratch(recurrence: Recurrence, state: Tensor) -> list[Tensor]:
    return [torch.empty_like(state[0]) for _ in range(recurrence.num_scratch)]
