"""What starts the kernels of :mod:`asrnn.ops.triton.kernels` on time-major buffers, in place."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Tensors
from asrnn.ops.runner import Backward, Forward, Runner
from asrnn.ops.triton.reach import ROWS, Precision, num_warps, padded_width

TOLERANCES: dict[Precision, float] = {
    # Each product is good to 2^-21, the exponential of the GPU to 2^-22; nine steps and a sum over H units
    # leave a few 1e-6 at most.
    "float32": 2e-5,
    # Both factors are rounded to 2^-12 of themselves at worst, at every step, and 18 steps there and back add up.
    "tf32": 5e-3,
    # Compared with steps whose weight is rounded alike: left is the tile, good to 2^-17 as two halves (2^-14
    # in the interpreter, which cuts bits off instead of rounding).
    "bfloat16": 3e-4,
}
"""How far a short scan may be off, by norms."""


class TritonRunner(Runner):
    """Runs the antisymmetric recurrences, gated or not, on a GPU, all steps in one launch.

    Ask :func:`asrnn.ops.triton.reach.why_not` first.

    Args:
        precision: how the weight is kept on the chip.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.name = "triton" if precision == "float32" else f"triton-{precision}"
        self.tolerance = TOLERANCES[precision]

    def rounded_weight(self, weight: Tensor) -> Tensor:
        """Return the weight as a kernel loads it: rounded here for bfloat16, since the interpreter cuts bits off."""
        return weight.to(torch.bfloat16) if self.precision == "bfloat16" else weight

    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """See :meth:`Runner.forward`."""
        (weight,), (epsilon,) = weights, recurrence.scalars

        def run(u: Tensor, states: Tensors) -> None:
            self.start_forward(u, states[0], weight.contiguous(), epsilon, gated=recurrence.has_product_grad())

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """See :meth:`Runner.backward`."""
        (weight,), (epsilon,), gated = weights, recurrence.scalars, recurrence.has_product_grad()

        def run(
            u: Tensor, states: Tensors, grads: Tensors, product_grad: Tensor, more: Tensors, vector_grads: Tensors
        ) -> None:
            towards, kept = (more[0] if more else None), product_grad if gated else None
            self.start_backward(u, grads[0], towards, kept, weight.contiguous(), epsilon, gated=gated)

        return run

    def start_forward(self, u: Tensor, states: Tensor, weight: Tensor, epsilon: float, *, gated: bool) -> None:
        """Take all steps.

        Args:
            u: in: V x_t + b, ``[T, B, H]``, or gated (u_z, u_h), ``[T, B, 2 H]``; out: y_t, or (z_t, y_t).
            states: in: the first row is h_0; out: the others are h_1 to h_T, ``[T + 1, B, H]``.
            weight: M, which is A - gamma I, ``[H, H]``.
            epsilon: the step size.
            gated: whether there is a gate.

        Raises:
            ValueError: a tensor has not the shape, precision or device that it must have, or is not contiguous.
        """
        num_steps, batch_size, hidden_size = len(states) - 1, *states.shape[1:]
        _check("u", u, (num_steps, batch_size, hidden_size * (2 if gated else 1)), states.device)
        _check("states", states, (num_steps + 1, batch_size, hidden_size), states.device)
        _check("weight", weight, (hidden_size, hidden_size), states.device)
        arguments = (u, states, self.rounded_weight(weight), float(epsilon), batch_size, num_steps)
        _start("forward", arguments, states, constants(hidden_size, gated=gated, precision=self.precision))

    def start_backward(
        self,
        u: Tensor,
        grad: Tensor,
        grad_sequence: Tensor | None,
        product_grad: Tensor | None,
        weight: Tensor,
        epsilon: float,
        *,
        gated: bool,
    ) -> None:
        """Go back through all steps.

        Args:
            u: in: what :meth:`start_forward` left there; out: the gradient towards what it found there.
            grad: in: the gradient towards h_T, ``[B, H]``; out: towards h_0.
            grad_sequence: a further gradient towards each of h_1 to h_T, ``[T, B, H]``, if there is any.
            product_grad: out, if gated: the gradient towards each M h_{t-1}, ``[T, B, H]``; without a gate that is u's.
            weight: M, ``[H, H]``.
            epsilon: the step size.
            gated: whether there is a gate.

        Raises:
            ValueError: a tensor has not the shape, precision or device that it must have, is not contiguous,
                or ``product_grad`` is missing or too much.
        """
        num_steps, (batch_size, hidden_size) = len(u), grad.shape
        each = (num_steps, batch_size, hidden_size)
        if gated != (product_grad is not None):
            raise ValueError("product_grad is for the gated recurrence, and for no other")
        _check("u", u, (num_steps, batch_size, hidden_size * (2 if gated else 1)), grad.device)
        _check("grad", grad, (batch_size, hidden_size), grad.device)
        _check("weight", weight, (hidden_size, hidden_size), grad.device)
        if product_grad is not None:
            _check("product_grad", product_grad, each, grad.device)
        if grad_sequence is not None:
            _check("grad_sequence", grad_sequence, each, grad.device)
        arguments = (
            u,
            grad,
            grad_sequence,
            product_grad,
            self.rounded_weight(weight),
            float(epsilon),
            batch_size,
            num_steps,
        )
        _start("backward", arguments, u, constants(hidden_size, gated=gated, precision=self.precision))


@cache
def triton_runner(precision: Precision) -> TritonRunner:
    """Return the one runner of a precision, which a process tries once for each size."""
    return TritonRunner(precision)


def constants(hidden_size: int, *, gated: bool, precision: Precision) -> dict[str, Any]:
    """Return what a kernel is compiled for."""
    width = padded_width(hidden_size)
    return {"GATED": gated, "HIDDEN": hidden_size, "WIDTH": width, "ROWS": ROWS, "PRECISION": precision}


def launch_options(hidden_size: int) -> dict[str, int]:
    """Return how a kernel is compiled: its loop fetches ahead by itself, and wants no pipelining on top."""
    return {"num_warps": num_warps(hidden_size), "num_stages": 1}


def _start(name: str, arguments: tuple[Any, ...], rows: Tensor, constants: dict[str, Any]) -> None:
    # Only here, because a scan elsewhere needs no triton, and importing it takes a while.
    from asrnn.ops.triton import kernels as kernels

    grid = (-(-rows.shape[1] // ROWS),)
    if grid[0] == 0:
        return  # CUDA knows no empty grid.
    interpreted = kernels.interpreted()
    with torch.cuda.device_of(rows):  # type: ignore[no-untyped-call]
        getattr(kernels, name)[grid](
            *arguments, **constants, INTERPRETED=interpreted, **launch_options(constants["HIDDEN"])
        )


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    wanted = f"contiguous torch.float32 tensor {list(shape)} on {device}"
    order = "contiguous" if tensor.is_contiguous() else "strided"
    found = f"{order} {tensor.dtype} tensor {list(tensor.shape)} on {tensor.device}"
    if found != wanted:
        raise ValueError(f"{name} must be a {wanted}, found a {found}")
