"""Test uRNN, full-capacity uRNN and KRU: values computed elsewhere, counts, and unitarity."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn import RecurrentCell, build_cell, build_model
from asrnn.cells.kru import prime_factors
from asrnn.cells.parts.fourier_unitary import fourier_unitary
from asrnn.ops import scan_with

X3 = torch.tensor([[[1.0], [-0.5], [2.0]]], dtype=torch.float64)
PRINTED = 6e-11  # half a unit of the last printed decimal
NAMES = ["urnn", "fc-urnn", "kru"]


def pairs(values: object) -> Tensor:
    """Real and imaginary parts last."""
    return torch.view_as_real(torch.tensor(values, dtype=torch.complex128))


def rows(values: object) -> Tensor:
    """Real parts, and then imaginary ones."""
    return pairs(values).T.flatten()


def complexes(tensor: Tensor) -> np.ndarray:
    """Complex numbers from a parameter with real and imaginary parts last."""
    return tensor.detach().numpy() @ [1, 1j]


def fill(cell: RecurrentCell, **values: Tensor) -> None:
    tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value.view_as(tensors[name]))


def final(cell: RecurrentCell) -> list[complex]:
    _, (h_re, h_im) = cell.scan(X3)
    return torch.complex(h_re, h_im)[0].tolist()


def near(found: list[complex], expected: list[complex], within: float = PRINTED) -> None:
    assert [z.real for z in found] == pytest.approx([z.real for z in expected], abs=within)
    assert [z.imag for z in found] == pytest.approx([z.imag for z in expected], abs=within)


def test_urnn_values_computed_elsewhere() -> None:
    """Three units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell("urnn", 1, 3).double()
    h_0 = [0.2 - 0.1j, 0.1 + 0.3j, -0.25]
    fill(
        cell,
        angles=torch.tensor([[0.1, -0.4, 0.7], [0.5, 0.2, -0.3], [-0.6, 0.9, 0.25]], dtype=torch.float64),
        reflections=pairs([[1 + 0.5j, -0.5, 0.25 - 1j], [0.5 - 0.25j, 1 + 1j, -0.75]]),
        permutation=torch.tensor([2, 0, 1]),
        weight_ih=rows([0.3 + 0.1j, -0.6 + 0.2j, 0.2 - 0.5j]),
        bias=torch.tensor([-0.05, 0.02, 0.1], dtype=torch.float64),
        initial_h=rows(h_0),
    )
    W = cell.recurrent_weight.detach()
    row = [0.4340161099 - 0.2003798478j, -0.5668757441 + 0.2207290868j, -0.1303073013 + 0.6200229844j]
    near(W[0].tolist(), row)
    product = [-0.0235642379 - 0.3864731412j, 0.1184162988 - 0.0013015203j, -0.0798515954 + 0.2053846313j]
    near((W @ torch.tensor(h_0, dtype=torch.complex128)).tolist(), product)
    near(final(cell), [0.5527330559 - 0.2505102667j, -1.2414537104 - 0.0646916890j, 0.5240407340 - 1.1959485619j])


def test_kru_values_computed_elsewhere() -> None:
    cell = build_cell("kru", 1, 4).double()
    first, second = [[0.6, 0.8j], [0.8j, 0.6]], [[1, 0.1], [-0.2j, 0.9]]
    fill(
        cell,
        **{"factors.0": pairs(first), "factors.1": pairs(second)},
        weight_ih=rows([0.3 + 0.1j, -0.6, 0.2 - 0.5j, 0.4]),
        bias=torch.tensor([-0.05, 0.02, 0.1, 0], dtype=torch.float64),
    )
    h_0 = torch.tensor([[0.1, 0.2j, -0.1, 0.3 - 0.1j]], dtype=torch.complex128)
    for backend in ("loop", "auto"):
        with scan_with(backend):
            _, (h_re, h_im) = cell.scan(X3, (h_0.real, h_0.imag))
        expected = [0.6271182134 + 0.2349262334j, -0.8594363764 + 0.0513754603j]
        expected += [0.2325858554 - 0.6654446815j, 0.5003625175 - 0.1600657170j]
        near(torch.complex(h_re, h_im)[0].tolist(), expected)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_urnn_is_the_product_of_its_factors(n: int) -> None:
    """With every factor written out as a matrix, by numpy."""
    torch.manual_seed(n)
    cell = build_cell("urnn", 2, n).double()
    D_1, D_2, D_3 = (np.diag(np.exp(1j * angle)) for angle in cell.angles.detach().numpy())
    v_1, v_2 = complexes(cell.reflections)
    R_1, R_2 = (np.eye(n) - 2 * np.outer(v, v.conj()) / np.vdot(v, v) for v in (v_1, v_2))
    P = np.eye(n)[cell.permutation.numpy()]
    k = np.arange(n)
    fourier = np.exp(-2j * np.pi * np.outer(k, k) / n) / math.sqrt(n)
    expected = D_3 @ R_2 @ fourier.conj().T @ D_2 @ P @ R_1 @ fourier @ D_1
    # Sums of at most 8 products in float64.
    np.testing.assert_allclose(cell.recurrent_weight.detach().numpy(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 7, 12, 30])
def test_kru_multiplies_by_the_kronecker_product(n: int) -> None:
    torch.manual_seed(n)
    cell = build_cell("kru", 1, n).double()
    with torch.no_grad():
        for factor in cell.factors:
            factor.normal_()
    W = np.eye(1)
    for factor in cell.factors:
        W = np.kron(W, complexes(factor))
    # Products of at most three numbers, and sums of at most 30, in float64.
    np.testing.assert_allclose(cell.recurrent_weight.detach().numpy(), W, rtol=1e-13)
    h = torch.randn(3, n, dtype=torch.complex128)
    np.testing.assert_allclose(cell.recur(h).detach().numpy(), h.numpy() @ W.T, rtol=0, atol=1e-12 * np.abs(W).max())


def test_the_factors_are_as_small_as_possible() -> None:
    assert [prime_factors(n) for n in (1, 2, 7, 12, 49, 512, 997)] == [
        [1], [2], [7], [2, 2, 3], [7, 7], [2] * 9, [997],
    ]  # fmt: skip
    assert [len(factor) for factor in build_cell("kru", 1, 30).factors] == [2, 3, 5]
    for factor in build_cell("kru", 1, 128).factors:
        Q = complexes(factor)
        np.testing.assert_allclose(Q @ Q.conj().T, np.eye(2), rtol=0, atol=1e-6)  # unitary in float32


def test_fc_urnn_multiplies_its_base_by_an_exponential() -> None:
    """W = W_0 exp(A): at a unitary eigenbasis Q of A, Q^H W_0^H W Q is the diagonal of e^(eigenvalues)."""
    torch.manual_seed(2)
    cell = build_cell("fc-urnn", 1, 6).double()
    with torch.no_grad():
        cell.weight_hh.normal_()
    X = cell.weight_hh.detach().numpy()
    A = np.triu(X, 1) - np.triu(X, 1).T + 1j * (np.tril(X) + np.tril(X, -1).T)
    angles, Q = np.linalg.eigh(-1j * A)
    expected = complexes(cell.base) @ (Q * np.exp(1j * angles)) @ Q.conj().T
    np.testing.assert_allclose(cell.recurrent_weight.detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "n", "m", "count"),
    [
        ("urnn", 512, 1, 16_394),
        ("urnn", 128, 1, 32 * 128 + 10),
        ("fc-urnn", 116, 1, 16_366),
        ("fc-urnn", 512, 1, 274_954),
        ("kru", 512, 1, 11_858),  # with the biases of modReLU; 11,346 without
    ],
)
def test_parameter_counts(name: str, n: int, m: int, count: int) -> None:
    """Of the papers' models with their readout of ten classes, of real and imaginary parts."""
    model = build_model(name, input_size=m, hidden_size=n, num_outputs=10)
    assert model.num_parameters() == count
    assert model.readout.in_features == 2 * n


@pytest.mark.parametrize(
    ("name", "n", "m", "count"),
    [("urnn", 256, 3, 4_096), ("fc-urnn", 128, 96, 41_344), ("kru", 128, 1, 440), ("kru", 128, 96, 24_760)],
)
def test_recurrent_parameter_counts(name: str, n: int, m: int, count: int) -> None:
    assert build_cell(name, m, n).num_parameters() == count


@pytest.mark.parametrize("name", ["urnn", "fc-urnn"])
def test_training_keeps_the_matrix_unitary(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, input_size=3, hidden_size=24, num_outputs=4)
    start = model.recurrence.recurrent_weight.detach()
    x, labels = torch.randn(32, 8, 3), torch.randint(4, (32,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
    assert F.cross_entropy(model(x), labels) < 0.7  # from log 4 = 1.4: it has learnt
    W = model.recurrence.recurrent_weight.detach()
    assert (W - start).abs().max() > 0.1
    # Sums of 24 products in float32.
    torch.testing.assert_close(W @ W.mH, torch.eye(24) + 0j, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_unitary_matrix_keeps_the_norm(name: str) -> None:
    cell = build_cell(name, 1, 16).double()
    with torch.no_grad():
        cell.bias.zero_()
    h = torch.randn(2, 3, 16, dtype=torch.float64)
    _, (h_re, h_im) = cell.scan(torch.zeros(3, 50, 1, dtype=torch.float64), tuple(h))
    norm = (h_re.square() + h_im.square()).sum(1)
    # Bases and four factors were drawn in float32, which is off by 1e-7 in each of 50 steps.
    torch.testing.assert_close(norm, h.square().sum((0, 2)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_at_zero_are_finite(name: str) -> None:
    cell = build_cell(name, 1, 6)
    zeros = (torch.zeros(2, 6, requires_grad=True), torch.zeros(2, 6, requires_grad=True))
    for backend in ("loop", "auto"):
        with scan_with(backend):
            last, _ = cell.scan(torch.zeros(2, 9, 1), zeros)
        assert not last.any()
        found = torch.autograd.grad(last.sum(), [*zeros, *cell.parameters()], allow_unused=True, materialize_grads=True)
        assert not any(gradient.any() for gradient in found)  # NaN would be


@pytest.mark.parametrize("name", NAMES)
def test_autocast_rounds_the_input_side_only(name: str) -> None:
    """There are no complex numbers of 16 bits, so that the loop keeps its product in float32."""
    cell = build_cell(name, 3, 6)
    x = torch.randn(2, 5, 3)
    with scan_with("loop"):
        expected, _ = cell.scan(x)
        with torch.autocast("cpu", torch.bfloat16):
            found, state = cell.scan(x)
    assert {part.dtype for part in state} == {torch.float32}
    # Inputs rounded at 2^-9 = 0.002, five times; the states are of order 1.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


def test_initialisation() -> None:
    torch.manual_seed(0)
    cells = {name: build_cell(name, 4, 300) for name in NAMES}
    for cell in cells.values():
        for weight, bound in ((cell.weight_ih, math.sqrt(6 / 604)), (cell.bias, 0.01)):
            assert 0.97 * bound < weight.max() <= bound
            assert -bound <= weight.min() < -0.97 * bound
    for name in ("urnn", "fc-urnn"):
        assert 0.97 * math.sqrt(3 / 600) < cells[name].initial_h.abs().max() <= math.sqrt(3 / 600)
    urnn, fc_urnn, kru = cells.values()
    assert kru.initial_h is None
    assert not any(part.any() for part in kru.initial_state(2))
    for weight, bound in ((urnn.angles, math.pi), (urnn.reflections, math.sqrt(6 / 602))):
        assert 0.97 * bound < weight.abs().max() <= bound
    assert not torch.equal(urnn.permutation, torch.arange(300))
    assert not fc_urnn.weight_hh.any()
    W_0 = torch.view_as_complex(fc_urnn.base)
    torch.testing.assert_close(W_0 @ W_0.mH, torch.eye(300) + 0j, rtol=0, atol=1e-5)  # float32
    bases = [build_cell("fc-urnn", 1, 4).base for _ in range(3)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(bases, 2))


@pytest.mark.parametrize("name", NAMES)
def test_the_output_has_real_parts_first_then_imaginary_parts(name: str) -> None:
    cell = build_cell(name, 2, 5)
    sequence, (h_re, h_im) = cell.scan(torch.randn(3, 4, 2), return_sequence=True)
    assert cell.output_size == sequence.shape[2] == 10
    assert torch.equal(sequence[:, -1], torch.cat((h_re, h_im), dim=1))


def test_the_full_capacity_urnn_starts_with_a_drawn_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def noting(angles: torch.Tensor, reflections: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
        seen.append(permutation)
        return fourier_unitary(angles, reflections, permutation)

    monkeypatch.setattr("asrnn.cells.fc_urnn.fourier_unitary", noting)
    for _ in range(2):
        build_cell("fc-urnn", 1, 300)
    assert [permutation.sort().values.tolist() for permutation in seen] == [list(range(300))] * 2
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], torch.arange(300))
