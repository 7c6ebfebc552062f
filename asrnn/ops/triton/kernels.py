"""Kernels for NVIDIA GPUs: an antisymmetric recurrence over a whole sequence in one launch, there and back.

One program takes a tile of the batch through all steps. It loads the recurrent weight once, and the compiler
keeps it in shared memory, where the tensor cores read it at every step; the state of the tile stays in
registers, and is written once a step. Programs never wait for one another.

The module imports without triton, which torch for the CPU does not bring, and is then of no use.
"""

# Annotations stay text: there is nothing behind them without triton, which itself reads the text.
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
    """Make a function what triton compiles, as ``triton.jit`` does, but once for all batches and lengths."""
    return triton.jit(function, do_not_specialize=("batch_size", "num_steps")) if INSTALLED else function


@jit
def tanh(x: tl.tensor) -> tl.tensor:
    """Compute tanh x = (1 - e) / (1 + e), e = exp(-2 |x|), with the sign of x.

    Near 0 that difference loses its digits. The first terms of the series take over, which below 0.2 are
    exact to 6e-8. Triton's own tanh is a library call that its interpreter does not have.
    """
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    square = x * x
    near = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0))))
    return tl.where(tl.abs(x) < 0.2, near, tl.where(x < 0.0, -far, far))


@jit
def product(rows: tl.tensor, weight: tl.tensor, PRECISION: constexpr, INTERPRETED: constexpr) -> tl.tensor:
    """Multiply a tile by the weight on the tensor cores, ``[R, W]`` by ``[W, W]``, and add up in float32.

    ``float32`` splits both factors into two tf32 halves and adds three products, which keeps about 21 of 24 bits.
    ``tf32`` rounds both to 11 bits. ``bfloat16`` is for a weight that was rounded to 8 bits: the tile is
    split into two halves of 8 bits, so that what is computed is this recurrence with a rounded weight and
    hardly any other error. Exact float32 (``ieee``) would not use the tensor cores, and spills kilobytes.
    """
    if PRECISION == "bfloat16":
        high = rows.to(tl.bfloat16)
        low = (rows - high.to(tl.float32)).to(tl.bfloat16)
        if INTERPRETED:  # The interpreter multiplies the bits of bfloat16 as integers.
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
    """Load the weight with zeros around it, ``[H, H]`` to ``[W, W]``, given how far apart its elements lie."""
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
    """Take a tile through all steps: u becomes y, or (z, y) if gated, and each state is written after its step.

    h_t = h_{t-1} + epsilon y_t, y_t = tanh(M h_{t-1} + u_t), and with a gate h_t = h_{t-1} + epsilon z_t y_t.

    A unit beyond H has zeros for its weights and its u, so that it stays 0 without a mask.
    """
    STACKED: tl.constexpr = 2 * HIDDEN if GATED else HIDDEN
    transposed = padded(weight, 1, HIDDEN, HIDDEN, WIDTH)
    row = tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, WIDTH)[None, :]
    # Distances in the whole tensor outgrow 32 bits, those in a tile do not: pointers to its corner take the former.
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows_a_step = batch_size.to(tl.int64)
    inside = (row < rows_a_step - first) & (unit < HIDDEN)
    at = row * HIDDEN + unit
    at_u = row * STACKED + unit
    states += first * HIDDEN
    u += first * STACKED
    h = tl.load(states + at, mask=inside, other=0.0)
    now = inside & (num_steps > 0)
    a = tl.load(u + at_u, mask=now, other=0.0)
    if GATED:
        b = tl.load(u + HIDDEN + at_u, mask=now, other=0.0)
    for t in range(num_steps):
        # The next u is on its way while this step computes: memory answers later than the tensor cores do.
        following = u + rows_a_step * STACKED
        coming = inside & (t + 1 < num_steps)
        next_a = tl.load(following + at_u, mask=coming, other=0.0)
        if GATED:
            next_b = tl.load(following + HIDDEN + at_u, mask=coming, other=0.0)
        recurrent = product(h, transposed, PRECISION, INTERPRETED)
        if GATED:
            z = tl.sigmoid(recurrent + a)
            y = tanh(recurrent + b)
            tl.store(u + at_u, z, mask=inside)
            tl.store(u + HIDDEN + at_u, y, mask=inside)
            h += epsilon * z * y
            b = next_b
        else:
            y = tanh(recurrent + a)
            tl.store(u + at_u, y, mask=inside)
            h += epsilon * y
        a = next_a
        u = following
        states += rows_a_step * HIDDEN
        tl.store(states + at, h, mask=inside)


@jit
def backward(
    u: tl.tensor,
    grad: tl.tensor,
    grad_sequence: tl.tensor,
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
    """Take a tile back through all steps, from dL/dh_T to dL/dh_0; what forward left in u becomes dL/du.

    With g = dL/dh_t: dL/dy = epsilon g, or epsilon g z; dL/dz = epsilon g y; each times the slope of its
    function gives dL/du_t, their sum p_t, and dL/dh_{t-1} = g + M^T p_t + the gradient from outside.

    ``grad_sequence`` is None where only the last state was seen; ``product_grad`` where u's gradient is the same.
    """
    STACKED: tl.constexpr = 2 * HIDDEN if GATED else HIDDEN
    upright = padded(weight, HIDDEN, 1, HIDDEN, WIDTH)
    row = tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, WIDTH)[None, :]
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows_a_step = batch_size.to(tl.int64)
    inside = (row < rows_a_step - first) & (unit < HIDDEN)
    at = row * HIDDEN + unit
    at_u = row * STACKED + unit
    last = rows_a_step * (num_steps - 1) + first
    grad += first * HIDDEN
    u += last * STACKED
    g = tl.load(grad + at, mask=inside, other=0.0)
    now = inside & (num_steps > 0)
    a = tl.load(u + at_u, mask=now, other=0.0)
    if GATED:
        product_grad += last * HIDDEN
        b = tl.load(u + HIDDEN + at_u, mask=now, other=0.0)
    if grad_sequence is not None:
        grad_sequence += last * HIDDEN
        outside = tl.load(grad_sequence + at, mask=now, other=0.0)
    # In a small tile two threads may hold one element: neither may store before the other has loaded. From
    # the second step on the product makes the threads wait; before the first nothing else does.
    tl.debug_barrier()
    for t in range(num_steps):
        following = u - rows_a_step * STACKED
        coming = inside & (t + 1 < num_steps)
        next_a = tl.load(following + at_u, mask=coming, other=0.0)
        if GATED:
            next_b = tl.load(following + HIDDEN + at_u, mask=coming, other=0.0)
        if grad_sequence is not None:
            g += outside
            grad_sequence -= rows_a_step * HIDDEN
            outside = tl.load(grad_sequence + at, mask=coming, other=0.0)
        scaled = epsilon * g
        if GATED:
            towards_z = scaled * b * a * (1.0 - a)
            towards_y = scaled * a * (1.0 - b * b)
            tl.store(u + at_u, towards_z, mask=inside)
            tl.store(u + HIDDEN + at_u, towards_y, mask=inside)
            towards_product = towards_z + towards_y
            tl.store(product_grad + at, towards_product, mask=inside)
            product_grad -= rows_a_step * HIDDEN
            b = next_b
        else:
            towards_product = scaled * (1.0 - a * a)
            tl.store(u + at_u, towards_product, mask=inside)
        g += product(towards_product, upright, PRECISION, INTERPRETED)
        a = next_a
        u = following
    tl.store(grad + at, g, mask=inside)


def interpreted() -> bool:
    """Say whether triton was imported with ``TRITON_INTERPRET=1``, and runs these functions in Python."""
    return INSTALLED and not isinstance(forward, triton.JITFunction)
