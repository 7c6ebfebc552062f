"""The kernels in triton's interpreter, compared with autograd in float64.

The interpreter is chosen when triton is imported, and then nothing can be compiled in that process: so pytest does not
collect this file by its name, and ``test_triton.py`` runs it in a process of its own, with TRITON_INTERPRET=1.
"""

from functools import partial
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from asrnn.ops.triton import kernels as triton_kernels
from asrnn.ops.triton.reach import Precision
from asrnn.ops.triton.runner import TritonRunner, constants

# Triton 3.3 converts arrays of one element to integers, which numpy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")

EPSILON = 0.3

TOLERANCE: dict[Precision, float] = {
    # The interpreter multiplies tf32 in full precision. float32 rounds at 6e-8; sums of up to 128 terms and ten steps
    # forward and backward leave some 1e-6.
    "float32": 5e-6,
    "tf32": 5e-6,
    # The reference has the rounded weight. The tile has two halves of 8 bits each, which the interpreter truncates.
    "bfloat16": 2e-4,
}


class Guarded:
    """A tensor of NaN within a larger one, so that missing writes and writes outside show."""

    def __init__(self, *shape: int) -> None:
        self.size = torch.Size(shape).numel()
        self.whole = torch.full((self.size + 2 * 1024,), torch.nan)
        self.inner = self.whole[1024:-1024].view(shape)

    def check(self) -> None:
        assert self.whole[:1024].isnan().all()
        assert self.whole[-1024:].isnan().all()
        assert self.inner.isfinite().all()


class Case(NamedTuple):
    steps: int
    batch: int
    hidden: int
    gated: bool
    sequence: bool
    precision: Precision = "float32"


def guarded(values: Tensor) -> Guarded:
    buffer = Guarded(*values.shape)
    buffer.inner.copy_(values)
    return buffer


def by_autograd(
    case: Case, u: Tensor, start: Tensor, weight: Tensor, grad: Tensor, outside: Tensor
) -> dict[str, Tensor]:
    """Compute the equations of the paper step by step, and their gradients by autograd."""
    if case.precision == "bfloat16":
        weight = weight.bfloat16()
    u, start, weight, grad, outside = (part.double() for part in (u, start, weight, grad, outside))
    u, start, weight = u.requires_grad_(), start.requires_grad_(), weight.requires_grad_()
    h, states, kept, products = start, [start], [], []
    for u_t in u.unbind(0):
        recurrent = h @ weight.T
        products.append(recurrent)
        if case.gated:
            u_z, u_h = u_t.chunk(2, dim=-1)
            z, y = torch.sigmoid(recurrent + u_z), torch.tanh(recurrent + u_h)
            h = h + EPSILON * z * y
            kept.append(torch.cat([z, y], dim=-1))
        else:
            y = torch.tanh(recurrent + u_t)
            h = h + EPSILON * y
            kept.append(y)
        states.append(h)
    loss = (h * grad).sum() + (
        sum((s * o).sum() for s, o in zip(states[1:], outside, strict=True)) if case.sequence else 0
    )
    towards_u, towards_start, towards_weight, *product_grad = torch.autograd.grad(loss, [u, start, weight, *products])
    found = {"states": torch.stack(states).detach(), "kept": torch.stack(kept).detach()}
    found |= {"u": towards_u, "start": towards_start}
    return found | {"product_grad": torch.stack(product_grad), "weight": towards_weight}


def by_kernels(
    case: Case, u: Tensor, start: Tensor, weight: Tensor, grad: Tensor, outside: Tensor
) -> dict[str, Tensor]:
    runner = TritonRunner(case.precision)
    rows, first, last = guarded(u), Guarded(case.steps + 1, case.batch, case.hidden), guarded(grad)
    product_grad = Guarded(case.steps, case.batch, case.hidden) if case.gated else None
    first.inner[0] = start
    runner.start_forward(rows.inner, first.inner, weight, EPSILON, gated=case.gated)
    kept = rows.inner.clone()
    towards = None if product_grad is None else product_grad.inner
    sequence = outside if case.sequence else None
    runner.start_backward(rows.inner, last.inner, sequence, towards, weight, EPSILON, gated=case.gated)
    for buffer in (rows, first, last, *([] if product_grad is None else [product_grad])):
        buffer.check()
    # Without a gate the gradient of u is that of the product. The scan computes the weight's gradient from it.
    products = rows.inner if towards is None else towards
    towards_weight = products.flatten(0, 1).T @ first.inner[:-1].flatten(0, 1)
    found = {"states": first.inner, "kept": kept, "u": rows.inner, "start": last.inner}
    return found | {"product_grad": products, "weight": towards_weight}


def agree(case: Case) -> None:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(case.batch + 100 * case.hidden))
    each = (case.steps, case.batch, case.hidden)
    u, outside = draw(case.steps, case.batch, (2 if case.gated else 1) * case.hidden), draw(*each)
    start, grad, weight = draw(each[1:]), draw(each[1:]), draw(case.hidden, case.hidden) / case.hidden**0.5
    found = by_kernels(case, u, start, weight, grad, outside)
    for name, right in by_autograd(case, u, start, weight, grad, outside).items():
        error = float((found[name] - right).abs().max() / right.abs().max())
        assert error < TOLERANCE[case.precision], f"{name}: {error}"


# Batches of less than a tile, one tile and several, with padded and unpadded widths.
SIZES = [(1, 5), (3, 16), (17, 31), (33, 64), (17, 100), (33, 5), (1, 64), (3, 100)]
GRID = [
    Case(5, batch, hidden, gated, sequence)
    for (batch, hidden), gated, sequence in product(SIZES, (False, True), (False, True))
]
FURTHER = [
    *(Case(steps, 16, 32, gated, True) for steps, gated in product((1, 2), (False, True))),
    *(Case(5, 17, hidden, gated, True, "bfloat16") for hidden, gated in product((31, 100), (False, True))),
    Case(3, 3, 200, True, True, "bfloat16"),
    Case(5, 17, 31, True, True, "tf32"),
    Case(5, 2, 1, True, True),
]


@pytest.mark.parametrize("case", [*GRID, *FURTHER], ids=str)
def test_the_kernels_agree_with_autograd(case: Case) -> None:
    assert triton_kernels.interpreted()
    agree(case)


class Memory:
    """Record the addresses of the elements that the interpreter reads and writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, real: bool) -> None:
        self.touched: list[int] = []
        builder = import_module("triton.runtime.interpreter").interpreter_builder
        load, store = builder.create_masked_load, builder.create_masked_store

        def noting_load(pointers: Any, mask: Any, other: Any, *rest: Any) -> Any:
            self.touched += pointers.data[mask.data.astype(bool)].tolist()
            return load(pointers, mask, other, *rest) if real else other

        def noting_store(pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
            self.touched += pointers.data[mask.data.astype(bool)].tolist()
            return store(pointers, value, mask, *rest) if real else None

        monkeypatch.setattr(builder, "create_masked_load", noting_load)
        monkeypatch.setattr(builder, "create_masked_store", noting_store)

    def outside(self, *buffers: Tensor) -> set[int]:
        inside: set[int] = set()
        for buffer in buffers:
            inside.update(range(buffer.data_ptr(), buffer.data_ptr() + buffer.numel() * buffer.element_size(), 4))
        return set(self.touched) - inside


@pytest.mark.parametrize("gated", [False, True])
def test_an_empty_batch_launches_no_kernel(gated: bool) -> None:
    u, states = torch.empty(5, 0, 8 if gated else 4), torch.empty(6, 0, 4)
    TritonRunner("float32").start_forward(u, states, torch.eye(4), EPSILON, gated=gated)


@pytest.mark.parametrize("gated", [False, True])
def test_without_steps_the_state_stays(monkeypatch: pytest.MonkeyPatch, gated: bool) -> None:
    memory = Memory(monkeypatch, real=True)
    u, states, grad = torch.empty(0, 3, 8 if gated else 4), torch.ones(1, 3, 4), torch.ones(3, 4)
    runner, weight, product_grad = TritonRunner("float32"), torch.eye(4), torch.empty(0, 3, 4) if gated else None
    runner.start_forward(u, states, weight, EPSILON, gated=gated)
    runner.start_backward(u, grad, None, product_grad, weight, EPSILON, gated=gated)
    assert memory.outside(states, grad, weight) == set()
    assert (states == 1).all()
    assert (grad == 1).all()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 0.19, 0.21, 1.0, 5.0, 50.0, 500.0])
def test_tanh_keeps_its_digits_near_zero_and_its_limits_far_away(scale: float) -> None:
    x = torch.cat([torch.linspace(-scale, scale, 32), torch.tensor([0.0])]).view(1, 1, -1)
    kept = x.clone()
    TritonRunner("float32").start_forward(kept, torch.zeros(2, 1, 33), torch.zeros(33, 33), EPSILON, gated=False)
    # Four roundings of float32, and at 0.2 the digits that the difference loses: 6e-8 / 0.2.
    torch.testing.assert_close(kept, x.double().tanh().float(), rtol=6e-7, atol=0)


def test_nan_states_stay_nan() -> None:
    u, states = torch.zeros(2, 2, 4), torch.zeros(3, 2, 4)
    states[0, 1, 2] = torch.nan
    TritonRunner("float32").start_forward(u, states, torch.eye(4), EPSILON, gated=False)
    assert states[:, 1, 2].isnan().all()
    assert states[:, 0].isfinite().all()


@pytest.mark.parametrize("gated", [False, True])
def test_kernels_access_no_memory_outside_their_tensors(monkeypatch: pytest.MonkeyPatch, gated: bool) -> None:
    memory, width = Memory(monkeypatch, real=True), 10 if gated else 5
    u, states, weight, grad = torch.ones(3, 17, width), torch.ones(4, 17, 5), torch.ones(5, 5), torch.ones(17, 5)
    outside, product_grad = torch.ones(3, 17, 5), torch.ones(3, 17, 5)
    runner = TritonRunner("float32")
    runner.start_forward(u, states, weight, EPSILON, gated=gated)
    assert memory.outside(u, states, weight) == set()
    runner.start_backward(u, grad, outside, product_grad if gated else None, weight, EPSILON, gated=gated)
    assert memory.outside(u, states, weight, grad, outside, product_grad) == set()


@pytest.mark.parametrize(
    ("kernel", "gated", "distances"),
    [
        ("forward", False, {0, 1, 2, 3}),  # three steps of u, four states
        ("forward", True, {0, 1, 2, 3, 4}),  # and u twice as wide
        ("backward", False, {0, 1, 2}),
        ("backward", True, {0, 1, 2, 4}),
    ],
)
def test_offsets_do_not_overflow(
    monkeypatch: pytest.MonkeyPatch, kernel: str, gated: bool, distances: set[int]
) -> None:
    # The steps of this batch are further apart than 32 bits can count. Its memory does not exist: all tensors start at
    # the same address.
    memory, batch_size, hidden_size, at = Memory(monkeypatch, real=False), 2**29, 5, torch.zeros(1)
    buffers = [at, at] if kernel == "forward" else [at, at, at, at if gated else None]
    options = constants(hidden_size, gated=gated, precision="float32") | {"INTERPRETED": True}
    getattr(triton_kernels, kernel)[(1,)](*buffers, at, EPSILON, batch_size, 3, **options)
    a_step = batch_size * hidden_size * at.element_size()
    assert {(address - at.data_ptr()) // a_step for address in memory.touched} == distances
