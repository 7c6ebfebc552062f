"""The matrix products in C, compared with float64: sizes around their blocks, and inputs in any memory layout."""

import platform

import pytest
import torch

from asrnn.ops.compiled import CompiledRunner, compiled_runner
from asrnn.ops.recurrence import Operands
from asrnn.ops.recurrences.residual import GatedResidual

ORDERS = {
    "samples first": lambda x: x.contiguous(),
    "steps first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "inputs first": lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    "negated when read": lambda x: torch.complex(torch.zeros_like(x), -x).conj().imag,
    "every second sample": lambda x: torch.stack([x, x], 1).flatten(0, 1)[::2],
}


@pytest.fixture
def runner() -> CompiledRunner:
    found = compiled_runner(GatedResidual)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(found: torch.Tensor, expected: torch.Tensor, terms: int) -> None:
    """Compare by norms: each term and each partial sum is rounded at 6e-8."""
    assert ((found.double() - expected).norm() / expected.norm()).item() < 1e-7 * terms**0.5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("batch", "steps", "inputs"), [(1, 3, 1), (13, 7, 3), (100, 5, 30), (300, 2, 12)])
def test_a_projection_and_its_gradient(runner, order: str, batch: int, steps: int, inputs: int) -> None:
    width = runner.width(40)
    x, V, b = ORDERS[order](draw(batch, steps, inputs)), draw(2 * width, inputs), draw(2 * width)
    u = torch.full((steps, batch, 3 * width), torch.nan)
    operands = Operands(x, V, b, (torch.zeros(batch, width),))
    runner.project(operands)(x, u)
    time_major = x.transpose(0, 1).double()
    assert_close(u[:, :, : 2 * width], time_major @ V.double().t() + b.double(), inputs + 1)
    assert u[:, :, 2 * width :].isnan().all()

    unused = torch.full((steps, batch, inputs + 1), torch.nan)
    found = runner.input_weight_grads(x, unused, u[:, :, : 2 * width])
    rows = torch.cat([time_major, torch.ones(steps, batch, 1, dtype=torch.float64)], 2)
    expected = rows.flatten(0, 1).t() @ u[:, :, : 2 * width].double().flatten(0, 1)
    assert_close(found, expected, batch * steps)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 700])
def test_a_product_over_rows_is_added(runner, rows: int) -> None:
    width = runner.width(70)
    left, right, out = draw(rows, 2 * width)[:, width:], draw(rows, width), draw(width, width)
    expected = out.double() + left.double().t() @ right.double()
    runner.add_product(left, right, out)
    assert_close(out, expected, rows + 1)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only there are subnormal numbers slow, and counted as 0")
def test_subnormal_numbers_are_zero_in_c_and_nowhere_else(runner) -> None:
    rows, width = 20, runner.width(40)
    small, out = torch.full((rows, width), 1e-39), torch.zeros(width, width)
    runner.add_product(small, torch.ones(rows, width), out)
    assert not out.any()
    runner.add_product(small, torch.full((rows, width), 10.0), out)  # the products would be normal numbers
    assert not out.any()
    assert (small * 0.5).all()
