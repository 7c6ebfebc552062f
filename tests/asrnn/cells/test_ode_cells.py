"""Test coRNN, UnICORNN, LEM and LipschitzRNN: values computed elsewhere, and motions with a closed form."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from asrnn import RecurrentCell, build_cell

X = [[1.0], [-0.5], [2.0]]
W, U2 = [[0.5, -0.25], [0.75, 0.1]], [[0.2, 0.4], [-0.3, 0.5]]
V, b = [[0.3], [-0.6]], [0.1, -0.2]
LIPSCHITZ = {"weight_ih": V, "free_a": [[0.2, -0.1], [0.4, 0.3]], "free_w": W, "bias": b}
PRINTED = 6e-11  # half a unit of the last of ten printed decimals


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cell_with(name: str, parameters: dict, **hyper) -> RecurrentCell:
    """A cell in float64 that holds these parameters, and zeros in those that are not named."""
    rows, input_size = len(parameters["weight_ih"]), len(parameters["weight_ih"][0])
    cell = build_cell(name, input_size, rows // 4 if name == "lem" else rows, **hyper).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        for key, values in parameters.items():
            cell.get_parameter(key).copy_(tensor(values))
    return cell


@pytest.mark.parametrize(
    ("name", "hyper", "parameters", "expected"),
    [
        (
            "cornn",
            {"dt": 0.1, "gamma": 1.3, "epsilon": 2.0},
            {"weight_ih": V, "weight_hy": W, "weight_hz": U2, "bias": b},
            [[0.0139189100, -0.0237750098], [0.0778231768, -0.1248388974]],
        ),
        (
            "lem",
            {"dt": 0.5},
            {
                "weight_ih": [*V, [0.2], [0.5], [-0.4], [0.1], [0.7], [-0.3]],
                "weight_1": W,
                "weight_2": U2,
                "weight_z": [[0.1, -0.4], [0.6, 0.2]],
                "weight_y": [[-0.2, 0.3], [0.5, -0.1]],
                "bias_hh": [*b, 0.05, 0.15, -0.1, 0.2, 0.3, 0.0],
            },
            [[0.4033445476, -0.2789775808], [-0.2779021238, 0.1410279544]],
        ),
        ("lipschitz", {"epsilon": 0.1, "gamma": 0.1}, LIPSCHITZ, [[0.1040512382, -0.1376254714]]),
        (
            "lipschitz",
            {"epsilon": 0.1, "gamma": 0.1, "method": "midpoint"},
            LIPSCHITZ,
            [[0.1092798144, -0.1333043881]],
        ),
    ],
)
def test_values_computed_elsewhere(name: str, hyper: dict, parameters: dict, expected: list) -> None:
    """Two units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = cell_with(name, parameters, **hyper)
    output, final = cell.scan(tensor([X]))
    torch.testing.assert_close(torch.cat(final), tensor(expected), rtol=0, atol=PRINTED)
    assert torch.equal(output, final[0])


def test_unicornn_computed_elsewhere() -> None:
    """The same for UnICORNN, whose second layer reads the y of its first."""
    first = cell_with(
        "unicornn", {"weight_ih": V, "weight_hh": [0.5, 0.8], "c": [0.05, -0.1], "bias": b}, dt=0.2, alpha=3.0
    )
    second = cell_with(
        "unicornn", {"weight_ih": U2, "weight_hh": [0.3, 0.6], "c": [0, 0.1], "bias": [0.02, -0.03]}, dt=0.2, alpha=3.0
    )
    sequence, final = first.scan(tensor([X]), return_sequence=True)
    expected = [[-0.0167268723, 0.0234502012], [-0.0918529125, 0.1322887571]]
    torch.testing.assert_close(torch.cat(final), tensor(expected), rtol=0, atol=PRINTED)
    _, final = second.scan(sequence)
    expected = [[-0.0013300664, 0.0014379533], [-0.0067641439, 0.0060371773]]
    torch.testing.assert_close(torch.cat(final), tensor(expected), rtol=0, atol=PRINTED)


def random_state(cell: RecurrentCell, batch_size: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    return tuple(
        torch.rand(part.shape, generator=generator, dtype=torch.float64) - 0.5
        for part in cell.initial_state(batch_size)
    )


def transition(cell: RecurrentCell) -> Tensor:
    """The matrix by which a step takes the state (y, z) of one unit to the next, at 0 and without input."""

    def step(state: Tensor) -> Tensor:
        return torch.cat(cell.step(state.new_zeros(1, 1), (state[:1, None], state[1:, None]))).flatten()

    return torch.autograd.functional.jacobian(step, torch.zeros(2, dtype=torch.float64))


def test_cornn_without_weights_is_a_damped_oscillator() -> None:
    dt, gamma, epsilon = 0.05, 9.0, 0.4
    cell = cell_with("cornn", {"weight_ih": [[0.0]]}, dt=dt, gamma=gamma, epsilon=epsilon)
    y, z = random_state(cell, 3)
    _, (y_200, z_200) = cell.scan(torch.zeros(3, 200, 1, dtype=torch.float64), (y, z))
    # z moves first: z' = (1 - dt epsilon) z - dt gamma y, and y' = y + dt z'.
    step = np.array([[1 - dt * dt * gamma, dt * (1 - dt * epsilon)], [-dt * gamma, 1 - dt * epsilon]])
    expected = np.einsum("ij,jbh->ibh", np.linalg.matrix_power(step, 200), np.stack([y, z]))
    # 200 steps of a map that does not grow, each rounded at 1e-16.
    np.testing.assert_allclose(torch.stack([y_200, z_200]).detach(), expected, rtol=0, atol=1e-12)
    # In 200 dt = 10 units of time an oscillator's amplitude falls by exp(-10 epsilon / 2), to first order in dt.
    before, after = (float((gamma * p * p + q * q).detach().mean()) for p, q in ((y, z), (y_200, z_200)))
    assert math.sqrt(after / before) == pytest.approx(math.exp(-2), rel=0.15)


@pytest.mark.parametrize(
    ("dt", "gamma", "epsilon"), list(itertools.product([0.034, 0.3, 0.7], [0.4, 7.0, 66.0], [0.1, 4.0, 12.7]))
)
def test_cornn_is_stable_under_its_documented_condition(dt: float, gamma: float, epsilon: float) -> None:
    cell = build_cell("cornn", 1, 1, dt=dt, gamma=gamma, epsilon=epsilon).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
    radius = float(torch.linalg.eigvals(transition(cell)).abs().max())
    assert (radius < 1) == (dt * dt * gamma + 2 * dt * epsilon < 4 and dt * epsilon < 2)


def test_unicornn_without_weights_keeps_its_energy() -> None:
    alpha = 13.0
    cell = cell_with("unicornn", {"weight_ih": [[0.0]] * 2, "c": [0.3, -2.0]}, dt=0.2, alpha=alpha)
    tau = 0.2 / (1 + torch.exp(-tensor([0.3, -2.0])))

    def energy(y: Tensor, z: Tensor) -> Tensor:
        """What symplectic Euler keeps; where tau is small, nearly the energy of the oscillator."""
        return z * z + alpha * y * y - tau * alpha * y * z

    start = random_state(cell, 4)
    _, final = cell.scan(torch.zeros(4, 2000, 1, dtype=torch.float64), start)
    assert not torch.isclose(final[0], start[0], rtol=0.01).any()
    # Each of 2000 steps is rounded at 1e-16 times a state of about 2.
    torch.testing.assert_close(energy(*final), energy(*start), rtol=0, atol=1e-11)


def test_unicornn_keeps_the_area_of_each_unit_whatever_its_weights() -> None:
    cell = build_cell("unicornn", 1, 1, dt=0.9, alpha=2.0).double()
    with torch.no_grad():
        cell.weight_hh.fill_(3.0)
        cell.c.fill_(1.5)
    u = tensor([[0.7]])
    for y, z in [(0.0, 0.0), (0.4, -0.8), (-2.0, 1.0)]:
        state = (tensor([[y]]), tensor([[z]]))
        jacobian = torch.autograd.functional.jacobian(lambda y, z: torch.cat(cell.step(u, (y, z))), state)
        determinant = torch.linalg.det(torch.cat([part.reshape(2, 1) for part in jacobian], dim=1))
        assert determinant.item() == pytest.approx(1, abs=1e-14)  # two products of order 1


@pytest.mark.parametrize(("alpha", "w", "tau"), [(13.0, 0.5, 0.5), (13.0, 0.5, 0.6), (0.5, 3.4, 1.0), (0.5, 3.6, 1.0)])
def test_unicornn_is_stable_under_its_documented_condition(alpha: float, w: float, tau: float) -> None:
    cell = build_cell("unicornn", 1, 1, dt=2 * tau, alpha=alpha).double()  # c = 0 halves it
    with torch.no_grad():
        cell.weight_hh.fill_(w)
        cell.c.zero_()
    radius = float(torch.linalg.eigvals(transition(cell)).abs().max())
    # The eigenvalues are a pair on the unit circle, as the area is kept, or a pair off it.
    assert (radius < 1 + 1e-9) == (tau * tau * (alpha + w) < 4)


def test_lem_without_recurrence_relaxes_to_its_candidates() -> None:
    half = [0.3, -0.6, 0.9, -0.2]  # D_1, D_2, z, y of one unit, half of it in each bias
    cell = cell_with("lem", {"weight_ih": [[0.0]] * 4, "bias_ih": half, "bias_hh": half}, dt=0.8)
    d_1, d_2, z, y = (2 * value for value in half)
    sequence, (_, z_7) = cell.scan(torch.zeros(1, 7, 1, dtype=torch.float64), return_sequence=True)
    rate_1, rate_2 = (0.8 / (1 + math.exp(-d)) for d in (d_1, d_2))
    # A handful of float64 operations on numbers of order 1 on both sides.
    assert z_7.item() == pytest.approx(math.tanh(z) * (1 - (1 - rate_1) ** 7), abs=1e-14)
    for t in range(1, 8):
        assert sequence[0, t - 1].item() == pytest.approx(math.tanh(y) * (1 - (1 - rate_2) ** t), abs=1e-14)


def test_lem_stays_within_one() -> None:
    torch.manual_seed(0)
    cell = build_cell("lem", 3, 16, dt=1.0).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(20)
    x = 10 * torch.randn(4, 100, 3, dtype=torch.float64)
    sequence, (_, z) = cell.scan(x, return_sequence=True)
    assert 0.99 < sequence.abs().max() <= 1
    assert z.abs().max() <= 1


@pytest.mark.parametrize("method", ["euler", "midpoint"])
def test_lipschitz_without_its_nonlinear_part_is_a_power_of_a_matrix(method: str) -> None:
    A = tensor([[0.1, 0.8, -0.3], [-0.5, -0.2, 0.4], [0.6, 0.1, 0.3]])
    parameters = {"weight_ih": [[0.0]] * 3, "free_a": A.tolist()}
    cell = cell_with("lipschitz", parameters, epsilon=0.2, beta=0.6, gamma=0.0, method=method)
    (h,) = random_state(cell, 2)
    output, _ = cell.scan(torch.zeros(2, 25, 1, dtype=torch.float64), (h,))
    S = 0.2 * (0.4 * (A + A.T) + 0.6 * (A - A.T))  # epsilon times the linear part
    # The Taylor series of its exponential, to first or to second order.
    step = torch.eye(3, dtype=torch.float64) + S + (S @ S / 2 if method == "midpoint" else 0)
    torch.testing.assert_close(output, h @ torch.matrix_power(step, 25).T, rtol=1e-12, atol=1e-12)


def test_lipschitz_balances_and_shifts_both_matrices() -> None:
    cell = build_cell("lipschitz", 1, 4, beta=0.9, gamma=0.3, init_std=4.0).double()
    for M, built in ((cell.free_a, cell.linear_weight), (cell.free_w, cell.recurrent_weight)):
        symmetric = (built + built.T) / 2 + 0.3 * torch.eye(4, dtype=torch.float64)
        antisymmetric = (built - built.T) / 2
        # Sums of two numbers of order 1, scaled: a few roundings.
        torch.testing.assert_close(symmetric, 0.1 * (M + M.T), rtol=0, atol=1e-14)
        torch.testing.assert_close(antisymmetric, 0.9 * (M - M.T), rtol=0, atol=1e-14)
