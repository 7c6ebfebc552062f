"""Test IndRNN: values computed elsewhere, the independence of units, and the bound on their weights."""

import math

import pytest
import torch

from asrnn import RecurrentCell, build_cell
from asrnn.errors import ModelError


def cell_with(u: list[float], **hyper) -> RecurrentCell:
    """Two units in float64, with these weights towards themselves, neither input nor bias."""
    cell = build_cell("indrnn", 1, len(u), **hyper).double()
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias.zero_()
        cell.weight_hh.copy_(torch.atanh(torch.tensor(u, dtype=torch.float64) / cell.bound))
    return cell


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", [0.9790000000, 0.0]), ("tanh", [0.7422804625, -0.9221942056])],
)
def test_values_computed_elsewhere(activation: str, expected: list[float]) -> None:
    """Two units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = cell_with([0.9, -0.5], activation=activation)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[0.3], [-0.6]], dtype=torch.float64))
        cell.bias.copy_(torch.tensor([0.1, -0.2], dtype=torch.float64))
    last, _ = cell.scan(torch.tensor([[[1.0], [-0.5], [2.0]]], dtype=torch.float64))
    assert last[0].tolist() == pytest.approx(expected, abs=6e-11)  # half a unit of the last printed decimal


@pytest.mark.parametrize(
    ("mag", "num_steps", "bound"), [(5.0, 784, 1.0020549630), (2.0, 784, 1.0008845072), (1, 10, 1.0)]
)
def test_the_bound(mag: float, num_steps: int, bound: float) -> None:
    cell = build_cell("indrnn", 1, 2, mag=mag, num_steps=num_steps)
    assert cell.bound == pytest.approx(bound, abs=6e-11)  # printed to ten decimals


def test_a_gradient_grows_by_mag_at_most() -> None:
    cell = cell_with([0.5, 0.999], mag=3.0, num_steps=50)
    with torch.no_grad():
        cell.weight_hh[0] = 30.0  # a learner may go anywhere
    h = torch.tensor([[0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    last, _ = cell.scan(torch.zeros(1, 50, 1, dtype=torch.float64), (h,))
    (gradient,) = torch.autograd.grad(last.sum(), h)
    # tanh(30) is 1 to the last bit; fifty products are rounded at 1e-16 each.
    assert gradient[0].tolist() == pytest.approx([3.0, 0.999**50], rel=1e-13)


def test_a_weight_near_the_bound_still_learns() -> None:
    cell = cell_with([0.999, -0.999], mag=1, activation="tanh")
    cell.scan(torch.ones(1, 5, 1, dtype=torch.float64), (torch.ones(1, 2, dtype=torch.float64),))[0].sum().backward()
    assert cell.weight_hh.grad.all()


def test_units_are_independent() -> None:
    torch.manual_seed(1)
    cell = build_cell("indrnn", 3, 6, activation="tanh").double()
    x = torch.randn(1, 9, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda h: cell.scan(x, (h,))[0], x.new_zeros(1, 6))[0, :, 0]
    assert torch.equal(jacobian, torch.diag(jacobian.diagonal()))
    assert jacobian.diagonal().all()


@pytest.mark.parametrize(("n", "m", "expected"), [(128, 1, 384), (256, 3, 1_280), (128, 96, 12_544)])
def test_counts(n: int, m: int, expected: int) -> None:
    assert expected == n * m + 2 * n
    assert build_cell("indrnn", m, n).num_parameters() == expected


def test_initialisation() -> None:
    torch.manual_seed(0)
    cell = build_cell("indrnn", 96, 2000, mag=4.0, num_steps=2)
    u = cell.recurrent_weight.detach().double()
    assert cell.bound == 2.0
    assert u.min() >= 0
    assert u.max() <= 2
    # A uniform over [0, 2] has deviation 1/sqrt(3); five deviations of the mean of 2,000, and of each quartile.
    assert u.mean().item() == pytest.approx(1, abs=5 / math.sqrt(3 * 2000))
    for q in (0.25, 0.75):
        assert u.quantile(q).item() == pytest.approx(2 * q, abs=5 * 2 * math.sqrt(q * (1 - q) / 2000))
    bound = math.sqrt(6 / 65 / 96)
    assert 0.999 * bound < cell.weight_ih.abs().max() <= bound
    assert not cell.bias.any()


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"mag": 0}, "mag must be a finite number above 0, not 0"),
        ({"num_steps": 0}, "num_steps must be a positive integer, not 0"),
        ({"num_steps": 2.5}, "num_steps must be a positive integer, not 2.5"),
        ({"activation": "gelu"}, "activation must be relu or tanh, not 'gelu'"),
    ],
)
def test_hyper_parameters_out_of_range(hyper: dict, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell("indrnn", 2, 3, **hyper)
    assert str(caught.value) == message
