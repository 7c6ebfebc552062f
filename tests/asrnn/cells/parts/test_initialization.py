"""Test the variances of Appendix C with enough draws to tell them from their square roots and doubles."""

import math

import pytest
import torch

from asrnn import build_cell
from asrnn.errors import ModelError

M, N = 20, 200
ENTRIES = {"antisymmetric", "antisymmetric-gated"}
ALL = ["antisymmetric", "antisymmetric-gated", "unstructured-gated", "feedback", "rnn", "lstm", "gru"]


def weights_and_biases(cell):
    layer = getattr(cell, "layer", None)
    if layer is None:
        return cell.weight_ih, cell.weight_hh, [cell.bias]
    V, W, *biases = layer.all_weights[0]
    return V, W, biases


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sigma_w", [1.0, 4.0])
def test_variances(name: str, sigma_w: float) -> None:
    torch.manual_seed(0)
    V, W, _ = weights_and_biases(build_cell(name, M, N, sigma_w=sigma_w))
    for weight, variance in ((V, 1 / M), (W, sigma_w**2 / N)):
        draws = weight.detach().double()
        k = draws.numel()
        # The estimate of a Gaussian's variance from k draws deviates by sqrt(2/k) of it, and that of its
        # mean by sqrt(variance/k). Five deviations: a right draw fails once in a million seeds, and with
        # k >= 4,000 the margin is 11 %, far from the factors of 2, n or m that a wrong reading brings.
        assert k >= 4000
        assert draws.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / k))
        assert abs(draws.mean().item()) < 5 * math.sqrt(variance / k)


@pytest.mark.parametrize("name", ALL)
def test_biases_are_zero_but_for_the_forget_gate(name: str) -> None:
    _, _, biases = weights_and_biases(build_cell(name, M, N))
    forget = torch.zeros(4 * N)
    forget[N : 2 * N] = 1
    expected = forget if name == "lstm" else torch.zeros_like(biases[0])
    assert torch.equal(biases[0].detach(), expected)
    assert all(torch.equal(bias.detach(), torch.zeros_like(bias)) for bias in biases[1:])


@pytest.mark.parametrize("name", ALL)
def test_sigma_w_zero_gives_no_initial_recurrence(name: str) -> None:
    _, W, _ = weights_and_biases(build_cell(name, 2, 5, sigma_w=0))
    assert not W.any()


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"epsilon": 0}, "epsilon must be a finite number above 0, not 0"),
        ({"epsilon": -0.1}, "epsilon must be a finite number above 0, not -0.1"),
        ({"epsilon": math.nan}, "epsilon must be a finite number above 0, not nan"),
        ({"epsilon": "0.1"}, "epsilon must be a finite number above 0, not '0.1'"),
        ({"epsilon": True}, "epsilon must be a finite number above 0, not True"),
        ({"gamma": -1e-9}, "gamma must be a finite number, 0 or above, not -1e-09"),
        ({"gamma": math.inf}, "gamma must be a finite number, 0 or above, not inf"),
        ({"sigma_w": -1}, "sigma_w must be a finite number, 0 or above, not -1"),
    ],
)
@pytest.mark.parametrize("name", ["antisymmetric", "antisymmetric-gated", "unstructured-gated"])
def test_hyper_parameters_out_of_range(name: str, hyper: dict, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell(name, 2, 3, **hyper)
    assert str(caught.value) == message
