"""Counted costs must equal those that are counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from asrnn.contract.checks.cost import STEEPEST, Cost, growth


def counted(work) -> tuple[int, int, int]:
    with Cost() as cost:
        work()
    return cost.operations, cost.bytes, cost.multiplications


def test_operations_bytes_and_multiplications_of_a_few_operations() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert counted(lambda: a + a) == (1, 3 * 4 * 4, 0)
    assert counted(lambda: a @ b) == (1, 3 * 5 * 4, 2 * 3 * 4 * 5)  # torch counts an addition with each product
    assert counted(lambda: a.double()) == (1, 3 * 4 * 8, 0)
    assert counted(lambda: a[1:].T) == (2, 0, 0)  # a view allocates nothing
    assert counted(lambda: a.split(1)) == (1, 0, 0)
    assert counted(lambda: torch.max(a, dim=1)) == (1, 3 * 4 + 3 * 8, 0)  # values and indices


@pytest.mark.parametrize(
    ("scan", "what", "power"),
    [
        (lambda u: u.cumsum(1), "bytes", 1),
        (lambda u: torch.stack([step.tanh() for step in u.unbind(1)]), "operations", 1),
        (lambda u: u @ u.transpose(1, 2), "multiplications", 2),
        (lambda u: sum(u[:, t] for t in range(u.shape[1])), "bytes", 2),
        (lambda u: sum(u[:, :t].sum(1) for t in range(u.shape[1])), "bytes", 2),
        (lambda u: nn.functional.scaled_dot_product_attention(u, u, u), "bytes", 2),
    ],
    ids=["cumsum", "loop", "product", "index", "prefix", "attention"],
)
def test_growth_is_the_power_of_the_length_with_which_a_cost_grows(scan, what: str, power: int) -> None:
    weight = torch.randn(2, 8, requires_grad=True)

    def run(num_steps: int) -> Tensor:
        return scan(torch.ones(2, num_steps, 2) @ weight)

    slope = growth(run, 64, 256)[what]
    assert round(slope) == power, slope
    assert (slope > STEEPEST) == (power == 2)


def test_a_parallel_scan_of_t_log_t_counts_as_linear() -> None:
    """The scan in parallel of Hillis and Steele: log2 T additions of whole sequences."""

    def run(num_steps: int) -> Tensor:
        u, stride = torch.ones(2, num_steps, 8, requires_grad=True), 1
        while stride < num_steps:
            u = u + nn.functional.pad(u, (0, 0, stride, 0))[:, :num_steps]
            stride *= 2
        return u

    assert 1.1 < growth(run, 64, 256)["bytes"] < STEEPEST
