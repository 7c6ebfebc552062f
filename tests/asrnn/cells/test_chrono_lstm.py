"""Test the chrono-LSTM: values computed elsewhere, and forgetting times that are uniform up to t_max."""

import math

import pytest
import torch

from asrnn import build_cell
from asrnn.cells.chrono_lstm import forget_bias
from asrnn.errors import ModelError

N = 2000


def gates(cell) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    _, _, b_ih, _ = cell.layer.all_weights[0]
    return b_ih.detach().chunk(4)


@pytest.mark.parametrize(
    ("t_max", "expected"),
    [
        (784, [5.2806624313, 5.9712618398, 6.6631326960]),
        (1000, [5.5234589205, 6.2146080984, 6.9067547786]),
        (3, [math.log(1.25), math.log(1.5), math.log(2)]),
    ],
)
def test_quantiles_computed_elsewhere(t_max: int, expected: list[float]) -> None:
    bias = forget_bias(torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64), t_max)
    assert bias.tolist() == pytest.approx(expected, abs=6e-11)  # half a unit of the last printed decimal


@pytest.mark.parametrize("t_max", [3, 40, 1000])
def test_forgetting_times_are_uniform(t_max: int) -> None:
    torch.manual_seed(0)
    i, f, _, _ = gates(build_cell("chrono-lstm", 1, N, t_max=t_max))
    drawn = f.double().exp().sort().values
    # float32 keeps a logarithm of up to 7 to 5e-7, hence its exponential to that fraction.
    assert drawn[0] >= 1 - 1e-6
    assert drawn[-1] <= (t_max - 1) * (1 + 1e-6)
    # Kolmogorov and Smirnov: the largest gap between N draws and their distribution is above 2.3/sqrt(N) once in
    # 20,000 seeds. A uniform logarithm, or one of a range from 0, is further off.
    gap = ((drawn - 1) / (t_max - 2) - (torch.arange(N) + 0.5) / N).abs().max()
    assert gap < 2.3 / math.sqrt(N)
    assert torch.equal(i, -f)


def test_all_other_biases_are_zero() -> None:
    cell = build_cell("chrono-lstm", 2, 5)
    _, _, g, o = gates(cell)
    _, _, _, b_hh = cell.layer.all_weights[0]
    assert not g.any()
    assert not o.any()
    assert not b_hh.any()


def test_without_input_a_unit_forgets_as_slowly_as_its_bias_says() -> None:
    cell = build_cell("chrono-lstm", 1, 4, sigma_w=0, t_max=100).double()
    _, f, _, _ = gates(cell)
    c = torch.ones(1, 4, dtype=torch.float64)
    _, (_, last) = cell.scan(torch.zeros(1, 60, 1, dtype=torch.float64), (torch.zeros_like(c), c))
    # Sixty products, each rounded at 1e-16: u/(u + 1) of the content is left at each step, u = exp(b_f).
    torch.testing.assert_close(last, (1 - 1 / (f.exp() + 1)).pow(60)[None], rtol=1e-12, atol=0)


def test_values_computed_elsewhere() -> None:
    """Two units, three steps of an LSTM, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell("chrono-lstm", 1, 2).double()
    V, W = (torch.tensor(values, dtype=torch.float64) for values in ([[0.3], [-0.6]], [[0.5, -0.25], [0.75, 0.1]]))
    scales = (1, -0.5, 0.8, 0.6)
    weight_ih, weight_hh, b_ih, _ = cell.layer.all_weights[0]
    with torch.no_grad():
        weight_ih.copy_(torch.cat([a * V for a in scales]))
        weight_hh.copy_(torch.cat([a * W for a in scales]))
        b_ih.copy_(torch.tensor([0.1, -0.2, 1, 1, 0, 0.3, -0.1, 0.2], dtype=torch.float64))
    last, (_, c) = cell.scan(torch.tensor([[[1.0], [-0.5], [2.0]]], dtype=torch.float64))
    # Half a unit of the last printed decimal.
    assert last[0].tolist() == pytest.approx([0.1779362447, 0.0332227457], abs=6e-11)
    assert c[0].tolist() == pytest.approx([0.3282336897, 0.0881496215], abs=6e-11)


@pytest.mark.parametrize(("n", "m", "expected"), [(128, 1, 67_072), (256, 3, 267_264), (128, 96, 115_712)])
def test_counts_are_the_lstms(n: int, m: int, expected: int) -> None:
    assert build_cell("chrono-lstm", m, n).num_parameters() == expected == build_cell("lstm", m, n).num_parameters()


@pytest.mark.parametrize(
    ("t_max", "message"),
    [
        (2, "t_max must be at least 3, or there is no range to draw from; it is 2"),
        (2.99, "t_max must be at least 3, or there is no range to draw from; it is 2.99"),
        (math.inf, "t_max must be a finite number above 0, not inf"),
    ],
)
def test_t_max_out_of_range(t_max: float, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell("chrono-lstm", 2, 3, t_max=t_max)
    assert str(caught.value) == message
