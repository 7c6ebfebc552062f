"""Test minGRU and minLSTM: values computed elsewhere, the logarithms of the paper, and float32."""

import copy
import math

import pytest
import torch
from scan_support import needs_compiler
from torch import Tensor
from torch.nn import functional as F

from asrnn import build_cell
from asrnn.ops import scan_with

NAMES = ["min-gru", "min-lstm"]
X3 = [1.0, -0.5, 2.0]
V, b = [0.3, -0.6], [0.1, -0.2]
GRU = ([0.4, 0.7, *V], [0.05, -0.15, *b])
LSTM = ([0.2, -0.3, -0.5, 0.6, *V], [1.0, 1.0, 0.0, 0.2, *b])


@pytest.mark.parametrize("backend", ["fused", "parallel", "loop"])
@pytest.mark.parametrize(
    ("name", "positive", "parameters", "start", "expected"),
    [
        ("min-gru", True, GRU, 0.0, [0.9966438665, 0.2314622461]),
        ("min-gru", True, GRU, 0.5, [1.0279726425, 0.2568206338]),
        ("min-gru", False, GRU, 0.0, [0.5227782055, -1.1501359730]),
        ("min-lstm", True, LSTM, 0.0, [0.5865102599, 0.2533516516]),
        ("min-lstm", False, LSTM, 0.0, [0.2143312001, -0.8920981522]),
    ],
)
def test_values_computed_elsewhere(backend, name, positive, parameters, start, expected) -> None:
    """Two units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell(name, 1, 2, positive=positive).double()
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor(parameters[0], dtype=torch.float64)[:, None])
        cell.bias.copy_(torch.tensor(parameters[1], dtype=torch.float64))
    h = torch.full((1, 2), start, dtype=torch.float64)
    with scan_with(backend):
        last, _ = cell.scan(torch.tensor(X3, dtype=torch.float64).reshape(1, 3, 1), (h,))
    assert last[0].tolist() == pytest.approx(expected, abs=6e-11)  # half a unit of the last printed decimal


def random_cell(name: str, scale: float = 1.0):
    torch.manual_seed(3)
    cell = build_cell(name, 3, 8).double()
    with torch.no_grad():
        cell.weight_ih.mul_(scale)
        cell.bias.normal_()
    return cell


def by_logarithms(cell, x: Tensor) -> Tensor:
    """The states from 0 as the paper computes them: logarithms of factors and of what is added, cumulated."""
    *gates, q = F.linear(x, cell.weight_ih, cell.bias).chunk(cell.num_rows, dim=-1)
    odds = gates[0] if len(gates) == 1 else F.softplus(-gates[0]) - F.softplus(-gates[1])  # of the new over the old
    log_g = torch.where(q >= 0, (torch.relu(q) + 0.5).log(), -F.softplus(-q))
    total = -F.softplus(odds).cumsum(1)
    return torch.exp(total + torch.logcumsumexp(log_g - F.softplus(-odds) - total, dim=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_logarithms_of_the_paper_give_the_same_numbers(name: str) -> None:
    cell = random_cell(name)
    x = torch.randn(2, 100, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    # Logarithms of up to 100 * log 2 to 5 are summed, rounded at 1e-16 of themselves, and taken back: 1e-14 relative.
    torch.testing.assert_close(cell.scan(x, return_sequence=True)[0], by_logarithms(cell, x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 6.0])  # of the weights: slow gates, and ones that are open or shut
@pytest.mark.parametrize("backend", ["fused", "compiled", "parallel"])
def test_float32_over_a_thousand_steps(name: str, scale: float, backend: str) -> None:
    if backend == "compiled":
        needs_compiler(name)
    cell = random_cell(name, scale)
    x = torch.randn(2, 1000, 3, generator=torch.Generator().manual_seed(4))
    exact, _ = cell.scan(x.double(), return_sequence=True)
    single = build_cell(name, 3, 8)
    single.load_state_dict(cell.state_dict())
    with scan_with(backend):
        found, _ = single.scan(x, return_sequence=True)
    largest = exact.amax(dim=1, keepdim=True)
    # Averages of positive numbers, each rounded a few times at 6e-8, over as many steps as a unit remembers, about 10.
    assert ((found - exact).abs() / largest).max() < 1e-6
    # Differences of sums of logarithms of up to 1000 steps: what the direct recurrence is preferred to.
    by_logs = by_logarithms(single, x)
    assert ((by_logs - exact).abs() / largest).max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_scan_is_the_loop_at_the_length_of_a_task(name: str) -> None:
    cell = random_cell(name)
    x = torch.randn(2, 1000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    h = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    results = []
    for backend in ("loop", "parallel", "fused"):
        with scan_with(backend):
            outputs, (last,) = cell.scan(x, (h,), return_sequence=True)
        loss = (outputs.square().sum(1) + last).sum()
        results.append((outputs, last, *torch.autograd.grad(loss, [x, h, *cell.parameters()])))
    # float64, factors in (0, 1): 1000 roundings of 1e-16 that do not grow, in gradients that are sums of as many.
    for found in results[1:]:
        torch.testing.assert_close(found, results[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_states_stay_within_their_candidates(name: str) -> None:
    cell = random_cell(name, 3.0)
    x = torch.randn(2, 300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    q = cell.candidate(cell.project(x).chunk(cell.num_rows, dim=-1)[-1])
    outputs, _ = cell.scan(x, (q[:, 0],), return_sequence=True)
    assert (outputs <= q.cummax(1).values + 1e-12).all()  # averages of the candidates so far, but for a rounding
    assert (outputs >= q.cummin(1).values - 1e-12).all()


@pytest.mark.parametrize("backend", ["fused", "compiled", "parallel"])
def test_the_quotient_of_two_closed_gates_is_finite(backend: str) -> None:
    if backend == "compiled":
        needs_compiler("min-lstm")
    cell = build_cell("min-lstm", 1, 1)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[-200.0], [-201.0], [1.0]]))  # sigmoids of exp(-200), which float32 has not
    x = torch.ones(1, 1, 1, requires_grad=True)
    with scan_with(backend):
        last, _ = cell.scan(x)
    last.sum().backward()
    # f / (f + i) is sigmoid(1), from pre-activations of 200 that are exact.
    assert last.item() == pytest.approx((1 - 1 / (1 + math.exp(-1))) * 1.5, rel=1e-6)
    # The quotient falls by s (1 - s), the difference of 200 and 201 times that, each rounded at 6e-8; g rises by 1.
    s = 1 / (1 + math.exp(1))
    assert x.grad.item() == pytest.approx(-1.5 * s * (1 - s) + s, abs=2e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("positive", [True, False])
def test_the_compiled_steps_are_those_of_the_loop_in_float64(name: str, positive: bool) -> None:
    """Both forms, and gates and candidates so large that exponentials of them are none in float32."""
    needs_compiler(name)
    torch.manual_seed(7)
    exact = build_cell(name, 3, 21, positive=positive).double()
    with torch.no_grad():
        exact.weight_ih.mul_(20).copy_(exact.weight_ih.float())
        exact.bias.normal_(generator=torch.Generator().manual_seed(8)).copy_(exact.bias.float())
    single = copy.deepcopy(exact).float()
    x = torch.randn(13, 50, 3, generator=torch.Generator().manual_seed(9))
    results = []
    for cell, backend in ((exact, "loop"), (single, "compiled")):
        with scan_with(backend):
            given = x.to(cell.bias.dtype).requires_grad_()
            outputs, (last,) = cell.scan(given, return_sequence=True)
        results.append(
            (outputs, last, *torch.autograd.grad((outputs.sin().sum() + last.sum()), [given, *cell.parameters()]))
        )
    for expected, found in zip(*results, strict=True):
        # float32: arguments of up to 100 are rounded by 4e-6, and the loop's gradients in float32 differ by up to 1e-5.
        assert (found - expected).norm() < 3e-5 * expected.norm()


@pytest.mark.parametrize("name", NAMES)
def test_g_is_continuous_positive_and_has_both_slopes(name: str) -> None:
    cell = build_cell(name, 1, 1).double()
    u = torch.tensor([-1e3, -2.0, -1e-9, 0.0, 1e-9, 3.0], dtype=torch.float64, requires_grad=True)
    g = cell.candidate(u)
    expected = [0.0, 1 / (1 + math.exp(2)), 0.5, 0.5, 0.5, 3.5]
    assert g.tolist() == pytest.approx(expected, abs=2e-9)  # at 1e-9 from 0 the slopes are 1/4 and 1
    (slopes,) = torch.autograd.grad(g.sum(), u)
    s = 1 / (1 + math.exp(2))
    assert slopes[[0, 1, 2, 4, 5]].tolist() == pytest.approx([0.0, s * (1 - s), 0.25, 1.0, 1.0], abs=1e-9)


@pytest.mark.parametrize(("name", "per_unit"), [("min-gru", 2), ("min-lstm", 3)])
def test_the_papers_count_and_start(name: str, per_unit: int) -> None:
    for n, m in ((128, 1), (256, 3), (128, 96)):
        assert build_cell(name, m, n).num_parameters() == per_unit * n * (m + 1)
    cell = build_cell(name, 1, 4)
    assert not cell.bias.any()
    assert not cell.initial_state(2)[0].any()
