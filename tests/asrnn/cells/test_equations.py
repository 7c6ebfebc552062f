"""Test the paper's cells against their equations, written out element by element in plain Python floats."""

import math

import pytest
import torch
from torch import Tensor

from asrnn import build_cell

# Both sides are float64 and sum at most 8 products, in another order, over 6 steps: far below 1e-12.
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
B, T, M, N = 3, 6, 2, 5
EPSILON, GAMMA = 0.3, 0.7


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def antisymmetric_from(entries: list[float], n: int) -> list[list[float]]:
    A = [[0.0] * n for _ in range(n)]
    k = 0
    for i in range(n):
        for j in range(i + 1, n):
            A[i][j] = entries[k]
            A[j][i] = -entries[k]
            k += 1
    assert k == len(entries)
    return A


def pre_activation(W, V, b, h, x, gamma: float, i: int, row: int) -> float:
    """Row i of (W - gamma I) h, plus the given row of V x + b."""
    total = b[row]
    for j in range(len(h)):
        total += (W[i][j] - (gamma if i == j else 0.0)) * h[j]
    for k in range(len(x)):
        total += V[row][k] * x[k]
    return total


def euler_step(W, V, b, h, x, gamma):  # Equation 12; Equation 10 where gamma is 0
    return [h[i] + EPSILON * math.tanh(pre_activation(W, V, b, h, x, gamma, i, i)) for i in range(len(h))]


def gated_step(W, V, b, h, x, gamma):  # Equation 13, rows of the gate first
    n = len(h)
    new = []
    for i in range(n):
        z = sigmoid(pre_activation(W, V, b, h, x, gamma, i, i))
        new.append(h[i] + EPSILON * z * math.tanh(pre_activation(W, V, b, h, x, gamma, i, n + i)))
    return new


CASES = {
    "antisymmetric": (euler_step, GAMMA, True),
    "antisymmetric-gated": (gated_step, GAMMA, True),
    "unstructured-gated": (gated_step, GAMMA, False),
    "feedback": (euler_step, 0.0, False),
}


def random_cell(name: str):
    hyper = {"epsilon": EPSILON} if name == "feedback" else {"epsilon": EPSILON, "gamma": GAMMA}
    cell = build_cell(name, M, N, **hyper).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(B, T, M, generator=generator, dtype=torch.float64)
    h = torch.randn(B, N, generator=generator, dtype=torch.float64)
    return cell, x, h


@pytest.mark.parametrize("name", CASES)
def test_states_follow_the_equation(name: str) -> None:
    step, gamma, antisymmetric = CASES[name]
    cell, x, h = random_cell(name)
    stored = cell.weight_hh.tolist()
    W = antisymmetric_from(stored, N) if antisymmetric else stored
    V, b = cell.weight_ih.tolist(), cell.bias.tolist()
    expected = torch.zeros(B, T, N, dtype=torch.float64)
    for sample in range(B):
        state = h[sample].tolist()
        for t in range(T):
            state = step(W, V, b, state, x[sample, t].tolist(), gamma)
            expected[sample, t] = torch.tensor(state, dtype=torch.float64)
    sequence, (final,) = cell.scan(x, (h,), return_sequence=True)
    torch.testing.assert_close(sequence, expected, **TOLERANCE)
    torch.testing.assert_close(final, expected[:, -1], **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_gradients_follow_the_equation(name: str) -> None:
    """Central differences of the transcription, so that no autograd stands on both sides."""
    step, gamma, antisymmetric = CASES[name]
    cell, x, h = random_cell(name)
    target = torch.linspace(-1, 1, B * N, dtype=torch.float64).reshape(B, N)

    def loss(weight: Tensor) -> float:
        stored = weight.tolist()
        W = antisymmetric_from(stored, N) if antisymmetric else stored
        V, b = cell.weight_ih.tolist(), cell.bias.tolist()
        total = 0.0
        for sample in range(B):
            state = h[sample].tolist()
            for t in range(T):
                state = step(W, V, b, state, x[sample, t].tolist(), gamma)
            total += sum(s * c for s, c in zip(state, target[sample].tolist(), strict=True))
        return total

    (cell.scan(x, (h,))[0] * target).sum().backward()
    weight, d = cell.weight_hh.detach(), 1e-5
    for index in range(0, weight.numel(), 3):
        change = torch.zeros_like(weight)
        change.view(-1)[index] = d
        slope = (loss(weight + change) - loss(weight - change)) / (2 * d)
        # The truncation error is d^2 times a third derivative of order 10: 1e-9; rounding 1e-16 / d: 1e-11.
        assert cell.weight_hh.grad.view(-1)[index].item() == pytest.approx(slope, rel=1e-7, abs=1e-8)


X3 = [1.0, -0.5, 2.0]
W2, V2, B2 = [[0.5, -0.25], [0.75, 0.1]], [0.3, -0.6], [0.1, -0.2]
VZ, BZ = [0.4, 0.7], [0.05, -0.15]


@pytest.mark.parametrize(
    ("name", "hyper", "parameters", "expected"),
    [
        ("feedback", {"epsilon": 0.1}, (V2, W2, B2), [0.0989742307, -0.1423285797]),
        ("antisymmetric", {"epsilon": 0.1, "gamma": 0.1}, (V2, [0.5], B2), [0.0876985772, -0.1463876211]),
        (
            "antisymmetric-gated",
            {"epsilon": 0.1, "gamma": 0.1},
            (VZ + V2, [0.5], BZ + B2),
            [0.0609710135, -0.1074649844],
        ),
    ],
)
def test_values_computed_elsewhere(name: str, hyper: dict, parameters: tuple, expected: list[float]) -> None:
    """Two units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell(name, 1, 2, **hyper).double()
    V, W, b = (torch.tensor(values, dtype=torch.float64) for values in parameters)
    with torch.no_grad():
        cell.weight_ih.copy_(V[:, None])
        cell.weight_hh.copy_(W)
        cell.bias.copy_(b)
    last, _ = cell.scan(torch.tensor(X3, dtype=torch.float64).reshape(1, 3, 1))
    assert last[0].tolist() == pytest.approx(expected, abs=6e-11)  # half a unit of the last printed decimal
