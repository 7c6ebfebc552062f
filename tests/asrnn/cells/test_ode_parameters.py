"""Test the authors' ODE cells: parameter counts, initialisation, and hyper-parameters out of range."""

import math

import pytest
import torch

from asrnn import RecurrentCell, build_cell
from asrnn.errors import ModelError

M, N = 96, 128


def with_readout(*cells: RecurrentCell) -> int:
    """The count of a stack and a linear readout to ten classes."""
    return sum(cell.num_parameters() for cell in cells) + 10 * cells[-1].hidden_size + 10


@pytest.mark.parametrize(
    ("name", "input_size", "hidden_size", "published"),
    [
        ("cornn", 96, 128, 46_474),
        ("cornn", 1, 256, 134_154),
        ("lem", 96, 128, 117_002),
        ("lipschitz", 96, 256, 158_474),
    ],
)
def test_published_counts(name: str, input_size: int, hidden_size: int, published: int) -> None:
    assert with_readout(build_cell(name, input_size, hidden_size)) == published


@pytest.mark.parametrize(("input_size", "hidden_size", "published"), [(96, 128, 47_498), (1, 256, 136_202)])
def test_published_counts_of_three_layers_of_unicornn(input_size: int, hidden_size: int, published: int) -> None:
    layers = [build_cell("unicornn", size, hidden_size) for size in (input_size, hidden_size, hidden_size)]
    assert with_readout(*layers) == published


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cornn", lambda n, m: 2 * n * n + n * m + n),
        ("unicornn", lambda n, m: n * m + 3 * n),
        ("lem", lambda n, m: 4 * n * (n + m + 2)),
        ("lipschitz", lambda n, m: 2 * n * n + n * m + n),
    ],
)
def test_counts_follow_the_formula(name: str, count) -> None:
    assert build_cell(name, 5, 7).num_parameters() == count(7, 5)


@pytest.mark.parametrize("beta", [0.01, 0.5, 0.75, 0.99])
def test_every_number_of_a_lipschitz_matrix_has_an_effect(beta: float) -> None:
    cell = build_cell("lipschitz", 1, 3, beta=beta, gamma=0.0).double()
    images = []
    with torch.no_grad():
        for entry in range(9):
            cell.free_a.zero_().view(-1)[entry] = 1
            images.append(cell.linear_weight.flatten())
    assert torch.linalg.matrix_rank(torch.stack(images)) == 9


def assert_uniform(draws: torch.Tensor, low: float, high: float) -> None:
    """Five deviations of the mean and of the variance of a uniform draw, and no draw outside."""
    draws = draws.detach().double().flatten()
    k, width = draws.numel(), high - low
    assert draws.min() >= low
    assert draws.max() <= high
    assert draws.mean().item() == pytest.approx((low + high) / 2, abs=5 * width / math.sqrt(12 * k))
    # A uniform's fourth central moment is 9/5 of its variance squared: the estimate deviates by sqrt(0.8/k).
    assert draws.var().item() == pytest.approx(width**2 / 12, rel=5 * math.sqrt(0.8 / k) + 1 / k)


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        (
            "cornn",
            {
                "weight_ih": 1 / math.sqrt(M),
                "weight_hy": 1 / math.sqrt(N),
                "weight_hz": 1 / math.sqrt(N),
                "bias": 1 / math.sqrt(M),
            },
        ),
        ("unicornn", {"weight_ih": math.sqrt(6 / 65 / M), "c": 0.1}),
        (
            "lem",
            dict.fromkeys(
                ["weight_ih", "weight_1", "weight_2", "weight_z", "weight_y", "bias_ih", "bias_hh"], 1 / math.sqrt(N)
            ),
        ),
        ("lipschitz", {"weight_ih": 1 / math.sqrt(M), "bias": 1 / math.sqrt(M)}),
    ],
)
def test_uniform_initialisation_of_the_authors_code(name: str, ranges: dict[str, float]) -> None:
    torch.manual_seed(0)
    cell = build_cell(name, M, N)
    for key, bound in ranges.items():
        assert_uniform(cell.get_parameter(key), -bound, bound)


def test_other_initial_values_of_unicornn() -> None:
    torch.manual_seed(0)
    cell = build_cell("unicornn", M, N)
    assert_uniform(cell.weight_hh, 0, 1)
    assert not cell.bias.any()


def test_other_initial_values_of_lipschitz() -> None:
    torch.manual_seed(0)
    cell = build_cell("lipschitz", M, N, init_std=0.2)
    for free in (cell.free_a, cell.free_w):
        # The estimate of a Gaussian's deviation from k = 16,384 draws deviates by 1/sqrt(2 k), 0.55 %: five times that.
        assert free.std().item() == pytest.approx(0.2 / N, rel=0.03)


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("cornn", {"dt": 0}, "dt must be a finite number above 0, not 0"),
        ("cornn", {"gamma": -1.0}, "gamma must be a finite number above 0, not -1.0"),
        ("cornn", {"epsilon": math.inf}, "epsilon must be a finite number above 0, not inf"),
        ("unicornn", {"dt": -0.1}, "dt must be a finite number above 0, not -0.1"),
        ("unicornn", {"alpha": -0.1}, "alpha must be a finite number, 0 or above, not -0.1"),
        ("lem", {"dt": 0}, "dt must be a finite number above 0, not 0"),
        ("lem", {"dt": 1.5}, "dt must be at most 1, so that a step is a convex combination; it is 1.5"),
        ("lipschitz", {"beta": 0}, "beta must be a finite number above 0, not 0"),
        (
            "lipschitz",
            {"beta": 1},
            "beta must be below 1, because at 1 half of the numbers of M have no effect; it is 1",
        ),
        ("lipschitz", {"gamma": -0.1}, "gamma must be a finite number, 0 or above, not -0.1"),
        ("lipschitz", {"init_std": -1}, "init_std must be a finite number, 0 or above, not -1"),
        ("lipschitz", {"method": "rk4"}, "method must be euler or midpoint, not 'rk4'"),
    ],
)
def test_hyper_parameters_out_of_range(name: str, hyper: dict, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell(name, 2, 3, **hyper)
    assert str(caught.value) == message
