"""Test LRU and S4D: values computed elsewhere, initialisation, counts, and scans as long as those of a task."""

import math

import pytest
import torch
from torch import Tensor

from asrnn import RecurrentCell, build_cell
from asrnn.errors import ModelError
from asrnn.ops import scan_with

NAMES = ["lru", "s4d"]
X3 = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64).reshape(1, 3, 1)
PRINTED = 6e-11  # half a unit of the last of ten printed decimals
PRINTED_PAIR = 8.5e-11  # the same in both parts of a complex number
GL = [-0.3261386340, -0.0727067289]


def double_cell(name: str, parameters: dict, **hyper) -> RecurrentCell:
    """A cell with one feature, in float64, that holds these parameters."""
    cell = build_cell(name, 1, 1, **hyper).double()
    with torch.no_grad():
        assert {key for key, _ in cell.named_parameters()} == parameters.keys()
        for key, parameter in cell.named_parameters():
            parameter.copy_(torch.tensor(parameters[key], dtype=torch.float64).reshape(parameter.shape))
    return cell


def pairs(values: list[complex]) -> list[list[float]]:
    return [[value.real, value.imag] for value in values]


def check(cell: RecurrentCell, outputs: list[float], last: list[complex]) -> None:
    for backend in ("parallel", "loop"):
        with scan_with(backend):
            found, (x_re, x_im, u) = cell.scan(X3, return_sequence=True)
            output, _ = cell.scan(X3)
        assert found[0, :, 0].tolist() == pytest.approx(outputs, abs=PRINTED)
        assert output.item() == pytest.approx(outputs[-1], abs=PRINTED)
        assert torch.complex(x_re, x_im)[0].tolist() == pytest.approx(last, abs=PRINTED_PAIR)
        assert u.item() == 2.0


def test_lru_values_computed_elsewhere() -> None:
    gl = [math.log(-math.expm1(-2 * math.exp(nu))) / 2 for nu in (-1.0, 0.0)]
    assert gl == pytest.approx(GL, abs=PRINTED)
    parameters = {
        "nu": [-1.0, 0.0],
        "theta": [-0.5, 0.3],
        "gl": gl,
        "B": pairs([0.3 + 0.1j, -0.6 + 0.2j]),
        "C": pairs([0.5 - 0.2j, 0.1 + 0.4j]),
        "D": [0.25],
    }
    cell = double_cell("lru", parameters, state_size=2)
    expected = [0.5687331846 + 0.3945684650j, 0.0806187377 + 0.3589371844j]
    assert cell.transition.tolist() == pytest.approx(expected, abs=PRINTED_PAIR)
    gamma = (cell.drive_weight.reshape(2, 2) / cell.B.reshape(2, 2))[:, 0]
    assert gamma.tolist() == pytest.approx([0.7217051276, 0.9298734950], abs=PRINTED)
    last = [0.3896266284 + 0.1903842934j, -1.0024906382 + 0.4095418606j]
    check(cell, [0.2425075824, 0.0143050576, 0.4688243648], last)


@pytest.mark.parametrize(
    ("init", "transition", "drive", "kernel", "outputs", "last"),
    [
        (
            "lin",
            [0.9512294245, 0.9046729427 + 0.2939460577j],
            [0.0975411510, 0.0959644533 + 0.0150703277j],
            [0.0245768118, -0.0005695125, -0.0163569484, -0.0225056242],
            [0.2745768118, -0.1378579184, 0.5330814314],
            [0.2369491788, 0.2129692093 + 0.0712902279j],
        ),
        (
            "inv",
            [0.8826756764 + 0.3545716687j, 0.9503728447 + 0.0403593118j],
            [0.0952157901 + 0.0182517183j, 0.0975122361 + 0.0020523331j],
            [0.0460664355, 0.0490591288, 0.0391125599, 0.0186407873],
            [0.2960664355, -0.0989740889, 0.6067158665],
            [0.2024340226 + 0.0830931506j, 0.2364870064 + 0.0104924394j],
        ),
    ],
)
def test_s4d_values_computed_elsewhere(init, transition, drive, kernel, outputs, last) -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # A is what it starts as, not rounded to float32
    try:
        start = build_cell("s4d", 1, 1, state_size=4, init=init)
    finally:
        torch.set_default_dtype(default)
    parameters = {
        "log_dt": [math.log(0.1)],
        "log_A_real": start.log_A_real.tolist(),
        "A_imag": start.A_imag.tolist(),
        "C": pairs([0.4 - 0.3j, -0.2 + 0.5j]),
        "D": [0.25],
    }
    cell = double_cell("s4d", parameters, state_size=4, init=init)
    assert cell.transition[0].tolist() == pytest.approx(transition, abs=PRINTED_PAIR)
    assert cell.drive_weight[0].tolist() == pytest.approx(drive, abs=PRINTED_PAIR)
    check(cell, outputs, last)
    impulse = torch.zeros(1, 4, 1, dtype=torch.float64)
    impulse[0, 0] = 1
    response = cell.scan(impulse, return_sequence=True)[0][0, :, 0]
    response[0] -= 0.25
    assert response.tolist() == pytest.approx(kernel, abs=PRINTED)


@pytest.mark.parametrize(
    ("init", "imaginary"), [("lin", [0, 1, 2]), ("inv", [30 / math.pi**2, 6 / math.pi**2, 1.2 / math.pi**2])]
)
def test_initial_eigenvalues_of_s4d(init: str, imaginary: list[float]) -> None:
    """At N = 6: pi n, and (6/pi) (6/(2n+1) - 1) = (6/pi) 5, (6/pi) 1, (6/pi) 1/5, each over pi."""
    cell = build_cell("s4d", 1, 2, state_size=6, init=init)
    for row in cell.eigenvalues.detach():
        # float32: the logarithm of 1/2 and the numbers themselves are rounded at 6e-8.
        assert row.real.tolist() == pytest.approx([-0.5] * 3, rel=1e-6)
        assert (row.imag / math.pi).tolist() == pytest.approx(imaginary, rel=1e-6)


def test_initialisation_of_s4d() -> None:
    torch.manual_seed(0)
    cell = build_cell("s4d", 1, 4000, state_size=2, dt_min=0.01, dt_max=0.1)
    log_dt = (cell.log_dt.detach() - math.log(0.01)) / math.log(10)
    assert 0 <= log_dt.min() < 0.01
    assert 0.99 < log_dt.max() <= 1 + 1e-6
    # Means of 4000 numbers: of a uniform one within 0.29/63 (and 4 deviations are 0.018), of squares of variance 2.
    assert log_dt.mean().item() == pytest.approx(0.5, abs=0.018)
    assert cell.C.square().mean((0, 1)).tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert cell.D.square().mean().item() == pytest.approx(1.0, abs=0.1)


def test_initialisation_of_the_lru() -> None:
    torch.manual_seed(0)
    cell = build_cell("lru", 4, 4, state_size=4000, r_min=0.5, r_max=0.9, max_phase=1.5)
    moduli, phases = cell.transition.detach().abs(), cell.transition.detach().angle()
    assert 0.5 - 1e-6 <= moduli.min() < 0.51
    assert 0.89 < moduli.max() <= 0.9 + 1e-6
    assert 0 <= phases.min() < 0.01
    assert 1.49 < phases.max() <= 1.5 + 1e-6
    # Uniform in area: the mean square of the modulus lies midway; 4 deviations of the mean of 4000 are 0.01.
    assert moduli.square().mean().item() == pytest.approx((0.5**2 + 0.9**2) / 2, abs=0.011)
    # gamma keeps the variance: gamma^2 / (1 - |lambda|^2) is 1, within float32's rounding of three functions.
    torch.testing.assert_close(torch.exp(2 * cell.gl), 1 - moduli.square(), rtol=1e-5, atol=0)
    assert cell.B.square().sum(-1).mean().item() == pytest.approx(1 / 4, rel=0.05)
    assert cell.C.square().sum(-1).mean().item() == pytest.approx(2 / 4000, rel=0.05)


def test_the_maps_of_the_lru_start_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *shape, **keywords: torch.full(shape, 0.5, **keywords))
    cell = build_cell("lru", 1, 1, r_min=0.9, r_max=0.999)
    # Rounded to float32.
    assert cell.nu.item() == pytest.approx(-2.9865211714, rel=1e-7)
    assert cell.theta.item() == pytest.approx(1.1442227999, rel=1e-7)


def test_gamma_next_to_the_unit_circle() -> None:
    torch.manual_seed(0)
    cell = build_cell("lru", 1, 8, r_min=1 - 1e-9, r_max=1 - 1e-10)
    # 1 - |lambda|^2 is 2e-10 to 2e-9, which float32 has not next to 1: its root, from the formula that subtracts, is 0.
    assert ((cell.gl.exp() > 1.4e-5) & (cell.gl.exp() < 4.5e-5)).all()


def test_short_steps_in_float32() -> None:
    cell = build_cell("s4d", 1, 8, dt_min=1e-6, dt_max=1e-5)
    found, expected = cell.drive_weight.detach(), cell.double().drive_weight.detach()
    # exp(dt A) - 1 is about 1e-6: if 1 were subtracted, the rounding at 6e-8 would be 6 % of it.
    assert ((found - expected) / expected).abs().max() < 1e-6


@pytest.mark.parametrize(("H", "N"), [(128, 64), (5, 4)])
def test_the_papers_counts(H: int, N: int) -> None:
    assert build_cell("lru", H, H, state_size=N).num_parameters() == 3 * N + 4 * N * H + H
    assert build_cell("lru", H, H).num_parameters() == 3 * H + 4 * H * H + H
    assert build_cell("s4d", H, H, state_size=N).num_parameters() == 2 * H * N + 2 * H
    for name in NAMES:
        own = build_cell(name, H, H, state_size=N).num_parameters()
        assert build_cell(name, 3, H, state_size=N).num_parameters() == own + 3 * H + H


@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_input_if_it_has_h_numbers(name: str) -> None:
    torch.manual_seed(0)
    inner = build_cell(name, 4, 4, state_size=6).double()
    outer = build_cell(name, 3, 4, state_size=6).double()
    outer.load_state_dict(inner.state_dict(), strict=False)
    with torch.no_grad():
        outer.bias.normal_()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    features = x @ outer.weight_ih.T + outer.bias
    # float64, nine steps from the same numbers, but for the order of three products.
    torch.testing.assert_close(outer.scan(x), inner.scan(features), rtol=1e-12, atol=1e-12)


def task_run(name: str) -> tuple[RecurrentCell, Tensor, tuple[Tensor, ...]]:
    torch.manual_seed(6)
    slow = {"r_min": 0.9, "r_max": 0.999} if name == "lru" else {"dt_max": 0.5}
    cell = build_cell(name, 2, 6, state_size=8, **slow).double()
    x = torch.randn(3, 1000, 2, dtype=torch.float64).requires_grad_()
    return cell, x, tuple(torch.randn_like(part).requires_grad_() for part in cell.initial_state(3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_steps", [1, 64, 131, 1000])
@pytest.mark.parametrize("return_sequence", [True, False])
def test_the_scan_is_the_loop_at_the_length_of_a_task(name: str, num_steps: int, return_sequence: bool) -> None:
    cell, x, state = task_run(name)
    results = []
    for backend in ("loop", "parallel"):
        with scan_with(backend):
            output, last = cell.scan(x[:, :num_steps], state, return_sequence=return_sequence)
        loss = output.square().sum() + sum((part * part.detach().cos()).sum() for part in last)
        gradients = torch.autograd.grad(
            loss, [x, *state, *cell.parameters()], allow_unused=True, materialize_grads=True
        )
        results.append((output, *last, *gradients))
    # float64, moduli below 1: up to 1000 roundings of 1e-16 that do not grow, in gradients of size up to 1e4.
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-10)
    assert not results[1][4 + 1 + len(state) - 1].any()  # the features before the first step are read by no one


@pytest.mark.parametrize("name", NAMES)
def test_float32_over_a_thousand_steps(name: str) -> None:
    cell, x, state = task_run(name)
    exact, _ = cell.scan(x, state, return_sequence=True)
    single, _ = cell.float().scan(x.float(), tuple(part.float() for part in state), return_sequence=True)
    # Eigenvalues are rounded at 6e-8 of their phase, up to 12 a step in S4D, and remembered over up to 1000 steps:
    # 1000 * 6e-8 is 6e-5, and the two cells differ by their parameters' rounding too.
    assert (single - exact).abs().max() < 2e-4 * exact.abs().max()


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("lru", {"r_min": 0.9, "r_max": 0.9}, "r_max must be above r_min and at most 1; r_min is 0.9 and r_max 0.9"),
        ("lru", {"r_max": 1.1}, "r_max must be above r_min and at most 1; r_min is 0.0 and r_max 1.1"),
        ("lru", {"r_min": -0.1}, "r_min must be a finite number, 0 or above"),
        ("lru", {"max_phase": 0.0}, "max_phase must be a finite number above 0"),
        ("lru", {"state_size": 0}, "state_size must be a positive integer, not 0"),
        ("s4d", {"state_size": 5}, "state_size must be even, as states come in conjugate pairs; it is 5"),
        ("s4d", {"init": "legs"}, "init must be lin or inv, not 'legs'"),
        ("s4d", {"dt_min": 0.2}, "dt_max must be dt_min or above; dt_min is 0.2 and dt_max 0.1"),
        ("s4d", {"dt_min": 0.0}, "dt_min must be a finite number above 0"),
    ],
)
def test_hyper_parameters_out_of_range(name: str, hyper: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_cell(name, 1, 4, **hyper)
