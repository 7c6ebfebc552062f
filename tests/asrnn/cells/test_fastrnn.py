"""Test FastRNN: values computed elsewhere, the decay of the state, and the initialisation."""

import math

import pytest
import torch

from asrnn import build_cell
from asrnn.errors import ModelError


def test_values_computed_elsewhere() -> None:
    """Two units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell("fastrnn", 1, 2, alpha=-3.0, beta=3.0).double()
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[0.3], [-0.6]], dtype=torch.float64))
        cell.weight_hh.copy_(torch.tensor([[0.5, -0.25], [0.75, 0.1]], dtype=torch.float64))
        cell.bias.copy_(torch.tensor([0.1, -0.2], dtype=torch.float64))
    last, _ = cell.scan(torch.tensor([[[1.0], [-0.5], [2.0]]], dtype=torch.float64))
    # Half a unit of the last printed decimal.
    assert last[0].tolist() == pytest.approx([0.0439355605, -0.0655037556], abs=6e-11)


def test_the_old_state_decays_by_sigmoid_beta() -> None:
    cell = build_cell("fastrnn", 2, 3, beta=5.0).double()
    with torch.no_grad():
        for parameter in (cell.weight_ih, cell.weight_hh, cell.bias):
            parameter.zero_()
    h = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    last, _ = cell.scan(torch.zeros(1, 100, 2, dtype=torch.float64), (h,))
    # A hundred products, each rounded at 1e-16.
    torch.testing.assert_close(last, h * (1 / (1 + math.exp(-5.0))) ** 100, rtol=1e-13, atol=0)


def test_states_stay_within_one_if_the_weights_sum_to_one() -> None:
    cell = build_cell("fastrnn", 2, 8, alpha=-1.0, beta=1.0).double()
    with torch.no_grad():
        cell.weight_hh.mul_(100)
    x = 50 * torch.randn(3, 100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sequence, _ = cell.scan(x, return_sequence=True)
    assert 0.9 < sequence.abs().max() <= 1


@pytest.mark.parametrize(("n", "m", "expected"), [(128, 1, 16_642), (256, 3, 66_562), (128, 96, 28_802)])
def test_counts(n: int, m: int, expected: int) -> None:
    assert expected == n * n + n * m + n + 2
    assert build_cell("fastrnn", m, n).num_parameters() == expected


@pytest.mark.parametrize(("n", "deviation"), [(64, 0.1), (100, 0.1), (400, 0.05)])
def test_initialisation(n: int, deviation: float) -> None:
    torch.manual_seed(0)
    cell = build_cell("fastrnn", 96, n)
    # The estimate of a Gaussian's deviation from k >= 4,096 draws deviates by at most 1.1 %: five times that.
    assert cell.weight_ih.std().item() == pytest.approx(0.1, rel=0.055)
    assert cell.weight_hh.std().item() == pytest.approx(deviation, rel=0.055)
    assert torch.equal(cell.bias, torch.ones(n))
    assert (cell.alpha.tolist(), cell.beta.tolist()) == ([-3.0], [3.0])
    # sigmoid(3) and its complement, to the four digits written here.
    assert (cell.new_share.item(), cell.old_share.item()) == pytest.approx((0.0474, 0.9526), abs=5e-5)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_alpha_and_beta_must_be_finite_numbers(name: str) -> None:
    with pytest.raises(ModelError, match=f"{name} must be a finite number, not nan"):
        build_cell("fastrnn", 2, 3, **{name: math.nan})
