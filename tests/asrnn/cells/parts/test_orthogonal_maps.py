"""Test the maps from free numbers to orthogonal and unitary matrices, their initial values, and modReLU."""

import math

import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.cells.parts.modrelu import complex_mod_relu, mod_relu
from asrnn.cells.parts.orthogonal import (
    block_rotations,
    cayley,
    exponential,
    random_orthogonal,
    random_unitary,
    skew_hermitian,
)

ENTRIES = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
EXPONENTIAL = [
    [0.9370324373, 0.3297943377, -0.1149169539],
    [-0.2329211643, 0.8353156052, 0.4979915370],
    [0.2602267140, -0.4398676330, 0.8595338986],
]
CAYLEY = [
    [0.8115942029, -0.2898550725, 0.5072463768],
    [0.5797101449, 0.5072463768, -0.6376811594],
    [-0.0724637681, 0.8115942029, 0.5797101449],
]
# Sums of at most 9 products in float64 on both sides.
CLOSE = {"rtol": 1e-13, "atol": 1e-13}


def normal(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("build", "expected"), [(exponential, EXPONENTIAL), (cayley, CAYLEY)])
def test_values_computed_elsewhere(build, expected: list[list[float]]) -> None:
    found = build(antisymmetric_matrix(ENTRIES, 3))
    # Half a unit of the last printed decimal.
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-11)


@pytest.mark.parametrize(
    ("build", "orthogonal_map", "factor"), [(exponential, "matrix_exp", 1), (cayley, "cayley", -2)]
)
@pytest.mark.parametrize("n", [2, 9])
def test_torch_has_the_same_maps(build, orthogonal_map: str, factor: float, n: int) -> None:
    """Its Cayley transform is of -A/2: ours of A is its of -2 A."""
    entries = normal(n * (n - 1) // 2)
    layer = nn.Linear(n, n, bias=False, dtype=torch.float64)
    parametrizations.orthogonal(layer, orthogonal_map=orthogonal_map, use_trivialization=False)
    with torch.no_grad():  # torch's A is made of the lower triangle
        layer.parametrizations.weight.original.copy_(factor * antisymmetric_matrix(entries, n).tril())
    torch.testing.assert_close(build(antisymmetric_matrix(entries, n)), layer.weight.detach(), **CLOSE)


@pytest.mark.parametrize("build", [exponential, cayley])
@pytest.mark.parametrize("scale", [0.0, 0.1, 10.0])
def test_any_entries_give_a_rotation(build, scale: float) -> None:
    Q = build(antisymmetric_matrix(scale * normal(28), 8))
    # Cayley solves with I + A, whose condition is at most |A|, about 60.
    torch.testing.assert_close(Q @ Q.T, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-13)
    assert torch.linalg.det(Q).item() == pytest.approx(1, abs=1e-12)


def test_one_unit_has_no_entry() -> None:
    assert (
        exponential(antisymmetric_matrix(torch.zeros(0), 1)).tolist()
        == cayley(antisymmetric_matrix(torch.zeros(0), 1)).tolist()
        == [[1]]
    )


def test_a_skew_hermitian_matrix_holds_every_number_once() -> None:
    A = skew_hermitian(torch.arange(1.0, 10.0).reshape(3, 3))
    assert A.tolist() == [[1j, 2 + 4j, 3 + 7j], [-2 + 4j, 5j, 6 + 8j], [-3 + 7j, -6 + 8j, 9j]]
    U = exponential(skew_hermitian(normal(6, 6)))
    torch.testing.assert_close(U @ U.mH, torch.eye(6, dtype=torch.complex128), **CLOSE)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
@pytest.mark.parametrize(("init", "low", "high"), [("henaff", -math.pi, math.pi), ("cayley", -1.0, 0.0)])
def test_blocks_turn_pairs(n: int, init: str, low: float, high: float) -> None:
    torch.manual_seed(n)
    A = antisymmetric_matrix(block_rotations(n, init), n)
    turns = A.diagonal(1)[::2]
    assert ((low <= turns) & (turns <= high)).all()
    assert len(turns.unique()) == n // 2  # each drawn for itself
    rest = A.clone()
    rest.diagonal(1)[::2] = 0
    rest.diagonal(-1)[::2] = 0
    assert not rest.any()


@pytest.mark.parametrize(
    ("init", "low", "high", "mean"), [("henaff", -math.pi, math.pi, 0), ("cayley", 0, math.pi / 2, math.pi / 4)]
)
def test_angles_are_uniform(init: str, low: float, high: float, mean: float) -> None:
    """Those of the rotation by the map that the start is named after."""
    torch.manual_seed(0)
    A = antisymmetric_matrix(block_rotations(400, init).double(), 400)
    Q = cayley(A) if init == "cayley" else exponential(A)
    angles = torch.atan2(Q.diagonal(1)[::2], Q.diagonal()[::2])
    # 200 draws from U(low, high): five deviations, of the mean and of the variance (whose kurtosis is 1.8).
    variance = (high - low) ** 2 / 12
    assert angles.mean().item() == pytest.approx(mean, abs=5 * math.sqrt(variance / 200))
    assert angles.var().item() == pytest.approx(variance, rel=5 * math.sqrt(0.8 / 200))
    assert low - 1e-6 < angles.min() < angles.max() < high + 1e-6  # drawn in float32


def test_a_block_computed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start ``cayley`` at u = 1."""
    monkeypatch.setattr(torch, "rand", lambda size: torch.full((size,), 2 / math.pi))
    entries = block_rotations(2, "cayley")
    assert entries.item() == pytest.approx(-0.5463024898, abs=1e-7)  # drawn in float32
    turned = [[math.cos(1), math.sin(1)], [-math.sin(1), math.cos(1)]]
    torch.testing.assert_close(cayley(antisymmetric_matrix(entries, 2)), torch.tensor(turned), rtol=0, atol=2e-7)
    expected = torch.tensor([[0.8544513313, -0.5195314451], [0.5195314451, 0.8544513313]])
    torch.testing.assert_close(exponential(antisymmetric_matrix(entries, 2)), expected, rtol=0, atol=2e-7)


def test_random_matrices_are_uniformly_distributed() -> None:
    """All matrices being equally likely, the mean of an entry is 0, and that of its square 1/n."""
    torch.manual_seed(0)
    unitary = torch.stack([torch.view_as_complex(random_unitary(2)) for _ in range(2000)])
    orthogonal = torch.stack([random_orthogonal(2) for _ in range(2000)])
    for draws, eye in ((unitary, torch.eye(2) + 0j), (orthogonal, torch.eye(2))):
        torch.testing.assert_close(draws @ draws.mH, eye.expand(2000, 2, 2), rtol=0, atol=1e-6)  # float32
        # Entries of variance 1/2: five deviations are 5 sqrt(1/2 / 2000) = 0.08. LAPACK's own Q has a mean of -0.6.
        assert draws.mean(0).abs().max() < 0.08
        assert (draws.abs().square().mean(0) - 0.5).abs().max() < 0.05


def test_the_exponential_is_scipys() -> None:
    A = antisymmetric_matrix(3 * normal(45), 10)
    expected = torch.from_numpy(scipy.linalg.expm(A.numpy()))
    torch.testing.assert_close(exponential(A), expected, rtol=0, atol=1e-12)  # its norm is 20: 2^5 squarings


@pytest.mark.parametrize("size", [0.01, 0.5463, 1.0, 10.0, 100.0])
def test_the_exponential_and_its_gradient_are_as_exact_as_float32(size: float) -> None:
    """Blocks, as expRNN starts with, and a gradient as large as a sum over a sequence may be."""
    A = antisymmetric_matrix(size * torch.ones(1, dtype=torch.float64), 2).float().requires_grad_()
    exact = A.detach().double().requires_grad_()
    G = 1e4 * normal(2, 2)
    found, expected = exponential(A), torch.matrix_exp(exact)
    found.backward(G.float())
    expected.backward(G)
    # Rounded once, at 6e-8; G too.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(A.grad.double(), exact.grad, rtol=0, atol=2e-7 * 1e4 * 3)


def test_mod_relu_of_real_units() -> None:
    z = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0, 0.0], requires_grad=True)
    b = torch.tensor([-1.0, -1.0, -1.0, -1.0, 0.5, 0.5], requires_grad=True)
    h = mod_relu(z, b)
    assert h.tolist() == [-2.0, 0.0, 0.0, 0.0, 3.5, 0.0]
    h.sum().backward()
    assert z.grad.tolist() == [1, 0, 0, 0, 1, 0]
    assert b.grad.tolist() == [-1, 0, 0, 0, 1, 0]


def test_mod_relu_of_complex_units() -> None:
    z = torch.tensor([3 - 4j, 0.3 + 0.4j, 0j, 0j, -6 + 8j])
    b = torch.tensor([-1.0, -0.6, -0.1, 0.1, 5.0])
    re, im = complex_mod_relu(z.real, z.imag, b)
    expected = torch.tensor([2.4 - 3.2j, 0, 0, 0, -9 + 12j])
    torch.testing.assert_close(torch.complex(re, im), expected, rtol=1e-6, atol=0)  # float32


@pytest.mark.parametrize("scale", [0.0, 1e-45, 1e-30, 2e-22, 1e-10, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mod_relu_near_zero_stays_finite(scale: float, dtype: torch.dtype) -> None:
    z = (scale * torch.tensor([[3.0, 0.0, -1.0], [4.0, 1.0, 0.0]], dtype=dtype)).requires_grad_()
    b = torch.tensor([0.01, 0.0, -0.01], dtype=dtype, requires_grad=True)
    h = torch.stack(complex_mod_relu(z[0], z[1], b))
    assert (h.norm(dim=0) <= z.detach().norm(dim=0) + 0.02).all()
    h.sum().backward()
    assert z.grad.isfinite().all()
    assert b.grad.isfinite().all()
    if scale == 0:
        assert not h.any()
        assert not z.grad.any()
        assert not b.grad.any()


def test_real_units_are_complex_units_on_the_real_axis() -> None:
    z, b = normal(50), 0.5 * normal(50, seed=4)
    re, im = complex_mod_relu(z, torch.zeros_like(z), b)
    torch.testing.assert_close(re, mod_relu(z, b), **CLOSE)
    assert not im.any()
