"""Triton kernels for NVIDIA GPUs: the forward and backward pass of an antisymmetric recurrence, one launch each.

One program computes all time steps of a tile of the batch. It loads the recurrent weight once. The compiler keeps the
weight in shared memory, where the tensor cores read it at every step. The state of the tile stays in registers and is
written once per step. Programs do not wait for each other.

The module can be imported without triton, which torch for the CPU does not install; its kernels then cannot run.
"""

# Annotations stay strings, because their names do not exist without triton. Triton itself reads the strings.
from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

INSTALLED = find_spec("triton") is not None

if INSTALLED:
    import triton
    import triton.language as tl
    from triton.language import constexpr


def jit(function: Callable[..., Any]) -> Any:
    """Decorate a function with ``triton.jit``, so that one compiled kernel serves all batch sizes and lengths."""
    return triton.jit(function, do_not_specialize=("batch_size", "num_steps")) if INSTALLED else function


@jit
def tanh(x: tl.tensor) -> tl.tensor:
    """Return tanh x = (1 - e) / (1 + e), e = exp(-2 |x|), with the sign of x.

    Near 0 the difference 1 - e loses digits. Below 0.2 the first terms of the series replace it, which are exact to
    6e-8. Triton's own tanh is a library call that its interpreter does not support.
    """
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    square = x * x
    near = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0))))
    return tl.where(tl.abs(x) < 0.2, near, tl.where(x < 0.0, -far, far))


@jit
def product(rows: tl.tensor, weight: tl.tensor, PRECISION: constexpr, INTERPRETED: constexpr) -> tl.tensor:
    """Return the product of a tile ``[R, W]`` and the weight ``[W, W]``, on the tensor cores with float32 sums.

    - ``float32`` splits both factors into two tf32 halves and adds three products. This keeps about 21 of 24 bits.
    - ``tf32`` rounds both factors to 11 bits.
    - ``bfloat16`` is for a weight that is rounded to 8 bits. It splits the tile into two halves of 8 bits. The result
      is that of the recurrence with the rounded weight, with hardly any other error.

    Exact float32 (``ieee``) would not use the tensor cores, and would spill kilobytes of registers.
    """
    if PRECISION == "bfloat16":
        high = rows.to(tl.bfloat16)
        low = (rows - high.to(tl.float32)).to(tl.bfloat16)
        if INTERPRETED:  # the interpreter multiplies the bits of bfloat16 as integers
            result = tl.dot(high.to(tl.float32) + low.to(tl.float32), weight.to(tl.float32))
        else:
            result = tl.dot(high, weight, tl.dot(low, weight))
    elif PRECISION == "tf32":
        result = tl.dot(rows, weight, input_precision="tf32")
    else:
        result = tl.dot(rows, weight, input_precision="tf32x3")
    return result


@jit
def padded(weight: tl.tensor, DOWN: constexpr, ACROSS: constexpr, HIDDEN: constexpr, WIDTH: constexpr) -> tl.tensor:
    """Load the weight ``[H, H]``, with strides DOWN and ACROSS, and pad it with zeros to ``[W, W]``."""
    down = tl.arange(0, WIDTH)[:, None]
    across = tl.arange(0, WIDTH)[None, :]
    return tl.load(weight + down * DOWN + across * ACROSS, mask=(down < HIDDEN) & (across < HIDDEN), other=0.0)


@jit
def forward(
    u: tl.tensor,
    states: tl.tensor,
    weight: tl.tensor,
    epsilon: tl.tensor,
    batch_size: tl.tensor,
    num_steps: tl.tensor,
    GATED: constexpr,
    HIDDEN: constexpr,
    WIDTH: constexpr,
    ROWS: constexpr,
    PRECISION: constexpr,
    INTERPRETED: constexpr,
) -> None:
    """Compute all steps of a tile, replace u by y, or gated by (z, y), and write each state.

    h_t = h_{t-1} + epsilon y_t, y_t = tanh(M h_{t-1} + u_t), and with a gate h_t = h_{t-1} + epsilon z_t y_t.

    Units beyond H have zero weights and zero u, so they stay 0 without a mask.
    """
    STACKED: tl.constexpr = 2 * HIDDEN if GATED else HIDDEN
    transposed = padded(weight, 1, HIDDEN, HIDDEN, WIDTH)
    row = tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, WIDTH)[None, :]
    # Offsets in the whole tensor may need 64 bits, and are added to the pointers. Offsets in a tile fit 32 bits.
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows_per_step = batch_size.to(tl.int64)
    inside = (row < rows_per_step - first) & (unit < HIDDEN)
    offset = row * HIDDEN + unit
    offset_u = row * STACKED + unit
    states += first * HIDDEN
    u += first * STACKED
    h = tl.load(states + offset, mask=inside, other=0.0)
    first_inside = inside & (num_steps > 0)
    a = tl.load(u + offset_u, mask=first_inside, other=0.0)
    if GATED:
        b = tl.load(u + HIDDEN + offset_u, mask=first_inside, other=0.0)
    for t in range(num_steps):
        # Load the next u while this step computes, because memory has a longer latency than the tensor cores.
        next_u = u + rows_per_step * STACKED
        next_inside = inside & (t + 1 < num_steps)
        next_a = tl.load(next_u + offset_u, mask=next_inside, other=0.0)
        if GATED:
            next_b = tl.load(next_u + HIDDEN + offset_u, mask=next_inside, other=0.0)
        recurrent = product(h, transposed, PRECISION, INTERPRETED)
        if GATED:
            z = tl.sigmoid(recurrent + a)
            y = tanh(recurrent + b)
            tl.store(u + offset_u, z, mask=inside)
            tl.store(u + HIDDEN + offset_u, y, mask=inside)
            h += epsilon * z * y
            b = next_b
        else:
            y = tanh(recurrent + a)
            tl.store(u + offset_u, y, mask=inside)
            h += epsilon * y
        a = next_a
        u = next_u
        states += rows_per_step * HIDDEN
        tl.store(states + offset, h, mask=inside)


@jit
def backward(
    u: tl.tensor,
    grad: tl.tensor,
    sequence_grad: tl.tensor,
    product_grad: tl.tensor,
    weight: tl.tensor,
    epsilon: tl.tensor,
    batch_size: tl.tensor,
    num_steps: tl.tensor,
    GATED: constexpr,
    HIDDEN: constexpr,
    WIDTH: constexpr,
    ROWS: constexpr,
    PRECISION: constexpr,
    INTERPRETED: constexpr,
) -> None:
    """Compute the gradients of all steps of a tile: turn dL/dh_T into dL/dh_0, and y or (z, y) in u into dL/du.

    With g = dL/dh_t, dL/dy is epsilon g, or gated epsilon g z, and dL/dz is epsilon g y. Times the derivative of tanh
    or sigmoid they give dL/du_t. Their sum p_t is the gradient of the product M h_{t-1}. Then dL/dh_{t-1} = g + M^T p_t
    + the gradient of the output h_{t-1}.

    ``sequence_grad`` is None if only the last state is used, ``product_grad`` if it equals the gradient of u.
    """
    STACKED: tl.constexpr = 2 * HIDDEN if GATED else HIDDEN
    upright = padded(weight, HIDDEN, 1, HIDDEN, WIDTH)
    row = tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, WIDTH)[None, :]
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows_per_step = batch_size.to(tl.int64)
    inside = (row < rows_per_step - first) & (unit < HIDDEN)
    offset = row * HIDDEN + unit
    offset_u = row * STACKED + unit
    last = rows_per_step * (num_steps - 1) + first
    grad += first * HIDDEN
    u += last * STACKED
    g = tl.load(grad + offset, mask=inside, other=0.0)
    first_inside = inside & (num_steps > 0)
    a = tl.load(u + offset_u, mask=first_inside, other=0.0)
    if GATED:
        product_grad += last * HIDDEN
        b = tl.load(u + HIDDEN + offset_u, mask=first_inside, other=0.0)
    if sequence_grad is not None:
        sequence_grad += last * HIDDEN
        output_grad = tl.load(sequence_grad + offset, mask=first_inside, other=0.0)
    # In a small tile two threads may hold the same element, and neither may store before the other has loaded. From the
    # second step on the product synchronises the threads. Before the first step only this barrier does.
    tl.debug_barrier()
    for t in range(num_steps):
        next_u = u - rows_per_step * STACKED
        next_inside = inside & (t + 1 < num_steps)
        next_a = tl.load(next_u + offset_u, mask=next_inside, other=0.0)
        if GATED:
            next_b = tl.load(next_u + HIDDEN + offset_u, mask=next_inside, other=0.0)
        if sequence_grad is not None:
            g += output_grad
            sequence_grad -= rows_per_step * HIDDEN
            output_grad = tl.load(sequence_grad + offset, mask=next_inside, other=0.0)
        scaled = epsilon * g
        if GATED:
            z_grad = scaled * b * a * (1.0 - a)
            y_grad = scaled * a * (1.0 - b * b)
            tl.store(u + offset_u, z_grad, mask=inside)
            tl.store(u + HIDDEN + offset_u, y_grad, mask=inside)
            step_product_grad = z_grad + y_grad
            tl.store(product_grad + offset, step_product_grad, mask=inside)
            product_grad -= rows_per_step * HIDDEN
            b = next_b
        else:
            step_product_grad = scaled * (1.0 - a * a)
            tl.store(u + offset_u, step_product_grad, mask=inside)
        g += product(step_product_grad, upright, PRECISION, INTERPRETED)
        a = next_a
        u = next_u
    tl.store(grad + offset, g, mask=inside)


def interpreted() -> bool:
    """Return whether triton was imported with ``TRITON_INTERPRET=1`` and runs these functions in Python."""
    return INSTALLED and not isinstance(forward, triton.JITFunction)
