"""Test the LMU: values computed elsewhere, the content of the memory, initialisation and counts."""

import math

import numpy as np
import pytest
import torch

from asrnn import build_cell
from asrnn.cells.lmu import legendre_memory
from asrnn.errors import ModelError
from asrnn.ops import scan_with

PRINTED = 6e-11  # half a unit of the last of ten printed decimals
X3 = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64).reshape(1, 3, 1)


def test_the_memory_computed_elsewhere() -> None:
    A, B = legendre_memory(3, 10.0)
    expected = [
        [0.9080512658, -0.0986893492, -0.0619291011],
        [0.2960680475, 0.6739123193, -0.2078434520],
        [-0.3096455053, 0.3464057534, 0.5721102661],
    ]
    for row, values in zip(A.tolist(), expected, strict=True):
        assert row == pytest.approx(values, abs=PRINTED)
    assert B.tolist() == pytest.approx([0.0919487342, -0.2960680475, 0.3096455053], abs=PRINTED)


def test_values_computed_elsewhere() -> None:
    cell = build_cell("lmu", 1, 2, order=3, theta=10.0).double()
    values = {
        "e_x": [0.5],
        "e_h": [0.2, -0.1],
        "e_m": [0.1, 0.0, -0.05],
        "weight_ih": [[0.3], [-0.6]],
        "weight_hh": [[0.5, -0.25], [0.75, 0.1]],
        "weight_mh": [[0.3, -0.2, 0.1], [0.4, 0.0, -0.5]],
    }
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(torch.tensor(values[name], dtype=torch.float64))
    output, (h, m) = cell.scan(X3)
    assert torch.equal(output, h)
    assert h[0].tolist() == pytest.approx([0.6090701667, -0.7957762138], abs=PRINTED)
    assert m[0].tolist() == pytest.approx([0.1323004214, -0.3351035506, 0.2597422833], abs=PRINTED)


def test_the_memory_holds_the_window_as_legendre_polynomials() -> None:
    """The input of theta r steps ago is sum_i m_i P_i(2r - 1), for what changes slowly."""
    theta = 100.0
    cell = build_cell("lmu", 1, 1, order=12, theta=theta).double()

    def signal(t: float) -> float:
        return math.sin(2 * math.pi * t / 80) + 0.3 * math.cos(2 * math.pi * t / 50)

    _, (_, m) = cell.scan(torch.tensor([signal(t) for t in range(400)], dtype=torch.float64).reshape(1, -1, 1))
    for r in (0.1, 0.25, 0.5, 0.9, 1.0):
        decoded = np.polynomial.legendre.legval(2 * r - 1, m[0].detach().numpy())
        # An input that is held is half a step late on average. What is left is of the second order in a phase of 0.08
        # (0.003, times an amplitude of 1), and of the 13th polynomial; a step more or less would be 0.04.
        assert decoded == pytest.approx(signal(399.5 - theta * r), abs=0.003)


def test_the_memory_of_the_published_model() -> None:
    A, B = legendre_memory(256, 784.0)
    # Every eigenvalue of the ODE has a negative real part, so none of a step is on or outside the unit circle.
    assert torch.linalg.eigvals(A).abs().max() < 1
    # In steady state the memory of a constant is the constant polynomial; (I - A) has a condition of 1e4 at most.
    steady = torch.linalg.solve(torch.eye(256, dtype=torch.float64) - A, B)
    expected = torch.zeros(256, dtype=torch.float64)
    expected[0] = 1
    torch.testing.assert_close(steady, expected, rtol=0, atol=1e-10)


def test_constants_stay_in_float64_until_the_cell_is_cast() -> None:
    cell = build_cell("lmu", 1, 2, order=5, theta=20.0)
    assert cell.A.dtype == torch.float64
    assert cell.scan(X3.float())[0].dtype == torch.float32
    assert torch.equal(cell.double().A, legendre_memory(5, 20.0)[0])
    assert cell.float().A.dtype == torch.float32
    assert {name for name, _ in cell.named_buffers()} == {"A", "B"}


def test_the_published_count() -> None:
    assert build_cell("lmu", 1, 212).num_parameters() == 99_897  # and 2,130 of the readout are the published 102k


def test_initialisation() -> None:
    torch.manual_seed(0)
    cell = build_cell("lmu", 2, 100, order=150)
    assert (cell.e_x == 1).all()
    for weight in (cell.e_h, cell.e_m, cell.weight_ih, cell.weight_hh):
        assert not weight.any()
    # Variances of 15,000 numbers and more, and of 100 (for which 4 deviations of a uniform one's are 0.36).
    assert cell.weight_mh.var().item() == pytest.approx(2 / 250, rel=0.05)
    cell = build_cell("lmu", 2, 100, order=150, init="general")
    assert cell.e_x.abs().max() <= math.sqrt(3 / 2)
    assert cell.e_x.any()
    wide = build_cell("lmu", 2000, 1, order=1, init="general").e_x
    # Of variance 1/I: the largest of 2,000 uniform numbers is within 1 % of the bound, but for one draw in e^20.
    assert 0.99 * math.sqrt(3 / 2000) < wide.abs().max() <= math.sqrt(3 / 2000)
    assert cell.e_h.abs().max() <= math.sqrt(3 / 100)
    assert cell.e_h.var().item() == pytest.approx(1 / 100, rel=0.36)
    assert not cell.e_m.any()
    assert cell.weight_hh.var().item() == pytest.approx(2 / 200, rel=0.06)
    assert cell.weight_ih.var().item() == pytest.approx(2 / 102, rel=0.4)
    assert cell.weight_mh.var().item() == pytest.approx(2 / 250, rel=0.05)


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"order": 0}, "order must be a positive integer, not 0"),
        ({"theta": 0.0}, "theta must be a finite number above 0"),
        ({"init": "zero"}, "init must be psmnist or general, not 'zero'"),
    ],
)
def test_hyper_parameters_out_of_range(hyper: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_cell("lmu", 1, 4, **hyper)


@pytest.mark.parametrize("init", ["psmnist", "general"])
def test_one_product_a_step_is_the_published_equations(init: str) -> None:
    """The fused scan of the published order, forward and back, against the loop over ``step``, both in float64."""
    torch.manual_seed(3)
    cell = build_cell("lmu", 2, 20, theta=100.0, init=init).double()
    x = torch.randn(3, 120, 2, dtype=torch.float64).requires_grad_()
    found = []
    for backend in ("loop", "fused"):
        with scan_with(backend):
            outputs, (h, m) = cell.scan(x, return_sequence=True)
        towards = torch.autograd.grad(outputs.square().sum() + h.sum() + m.sum(), [x, *cell.parameters()])
        found.append((outputs, h, m, *towards))
    # 120 steps of sums of 276 products, roundings of 1e-16 each, in a memory whose numbers cancel but for a hundredth.
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)
