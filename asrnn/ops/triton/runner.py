"""Run the steps of a scan by launching the Triton kernels on its buffers."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Tensors
from asrnn.ops.runner import Backward, Forward, Runner
from asrnn.ops.triton.reach import ROWS, Precision, num_warps, padded_width

TOLERANCES: dict[Precision, float] = {
    # Each product has an error of 2^-21, the exponential of the GPU one of 2^-22. After nine steps and a sum over H
    # units the error is at most a few 1e-6.
    "float32": 2e-5,
    # Both factors have a rounding error of up to 2^-12 at every step, and the errors of nine steps forward and nine
    # backward add up.
    "tf32": 5e-3,
    # The reference has the same rounded weight. What remains is the error of the tile in two halves, 2^-17, or 2^-14 in
    # the interpreter, which truncates instead of rounding.
    "bfloat16": 3e-4,
}
"""The largest relative error of a short scan, by norms."""


class TritonRunner(Runner):
    """Run the antisymmetric recurrences, with or without gate, on a GPU, with all steps in one launch.

    :func:`asrnn.ops.triton.reach.why_not` says where it cannot run.

    Args:
        precision: the precision of the weight on the chip.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.name = "triton" if precision == "float32" else f"triton-{precision}"
        self.tolerance = TOLERANCES[precision]

    def rounded_weight(self, weight: Tensor) -> Tensor:
        """Return the weight as a kernel loads it. bfloat16 is rounded here, because the interpreter truncates."""
        return weight.to(torch.bfloat16) if self.precision == "bfloat16" else weight

    def forward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Forward:
        """Take the steps of a chunk forward; see :meth:`Runner.forward`."""
        (weight,), (epsilon,) = weights, recurrence.scalars

        def run(u: Tensor, states: Tensors) -> None:
            self.start_forward(u, states[0], weight.contiguous(), epsilon, gated=recurrence.has_product_grad())

        return run

    def backward(self, recurrence: Recurrence, weights: Tensors, vectors: Tensors) -> Backward:
        """Take the steps of a chunk backward; see :meth:`Runner.backward`."""
        (weight,), (epsilon,), gated = weights, recurrence.scalars, recurrence.has_product_grad()

        def run(
            u: Tensor,
            states: Tensors,
            grads: Tensors,
            product_grad: Tensor,
            output_grads: Tensors,
            vector_grads: Tensors,
        ) -> None:
            sequence_grad, product = (output_grads[0] if output_grads else None), product_grad if gated else None
            self.start_backward(u, grads[0], sequence_grad, product, weight.contiguous(), epsilon, gated=gated)

        return run

    def start_forward(self, u: Tensor, states: Tensor, weight: Tensor, epsilon: float, *, gated: bool) -> None:
        """Compute all steps.

        Args:
            u: in: V x_t + b, ``[T, B, H]``, or gated (u_z, u_h), ``[T, B, 2 H]``; out: y_t, or (z_t, y_t).
            states: in: h_0 in the first row; out: h_1 to h_T in the others, ``[T + 1, B, H]``.
            weight: M = A - gamma I, ``[H, H]``.
            epsilon: the step size.
            gated: whether the recurrence has a gate.

        Raises:
            ValueError: a tensor has a wrong shape, precision or device, or is not contiguous.
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
        sequence_grad: Tensor | None,
        product_grad: Tensor | None,
        weight: Tensor,
        epsilon: float,
        *,
        gated: bool,
    ) -> None:
        """Compute the gradients of all steps.

        Args:
            u: in: what :meth:`start_forward` left in it; out: the gradient of its original content.
            grad: in: the gradient of h_T, ``[B, H]``; out: the gradient of h_0.
            sequence_grad: an additional gradient of each of h_1 to h_T, ``[T, B, H]``, or None.
            product_grad: out, if gated: the gradient of each M h_{t-1}, ``[T, B, H]``. Without a gate it is that of u.
            weight: M, ``[H, H]``.
            epsilon: the step size.
            gated: whether the recurrence has a gate.

        Raises:
            ValueError: a tensor has a wrong shape, precision or device, or is not contiguous; or ``product_grad`` is
                missing with a gate, or given without one.
        """
        num_steps, (batch_size, hidden_size) = len(u), grad.shape
        each = (num_steps, batch_size, hidden_size)
        if gated != (product_grad is not None):
            raise ValueError("product_grad is for the gated recurrence only")
        _check("u", u, (num_steps, batch_size, hidden_size * (2 if gated else 1)), grad.device)
        _check("grad", grad, (batch_size, hidden_size), grad.device)
        _check("weight", weight, (hidden_size, hidden_size), grad.device)
        if product_grad is not None:
            _check("product_grad", product_grad, each, grad.device)
        if sequence_grad is not None:
            _check("sequence_grad", sequence_grad, each, grad.device)
        arguments = (
            u,
            grad,
            sequence_grad,
            product_grad,
            self.rounded_weight(weight),
            float(epsilon),
            batch_size,
            num_steps,
        )
        _start("backward", arguments, u, constants(hidden_size, gated=gated, precision=self.precision))


@cache
def triton_runner(precision: Precision) -> TritonRunner:
    """Return the runner of a precision; a process has one, and tests it once for each hidden size."""
    return TritonRunner(precision)


def constants(hidden_size: int, *, gated: bool, precision: Precision) -> dict[str, Any]:
    """Return the compile-time constants of a kernel."""
    width = padded_width(hidden_size)
    return {"GATED": gated, "HIDDEN": hidden_size, "WIDTH": width, "ROWS": ROWS, "PRECISION": precision}


def launch_options(hidden_size: int) -> dict[str, int]:
    """Return the compile options of a kernel. Its loop prefetches by itself, so it needs no software pipelining."""
    return {"num_warps": num_warps(hidden_size), "num_stages": 1}


def _start(name: str, arguments: tuple[Any, ...], rows: Tensor, constants: dict[str, Any]) -> None:
    # Imported here, because importing triton is slow and other back ends do not need it.
    from asrnn.ops.triton import kernels as kernels

    grid = (-(-rows.shape[1] // ROWS),)
    if grid[0] == 0:
        return  # CUDA does not support an empty grid
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
