"""Sums of many terms of one sign, compared with float64. A running total would be wrong in the fifth digit."""

import pytest
import torch
from torch import Tensor

from asrnn.ops.sums import PairwiseSum, product_over_rows

# Each of 256 terms is rounded at 6e-8 of the sum so far, on average half the total, up or down. 5e-7 was observed.
ROUNDINGS = 1e-6


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("columns", [1, 2, 4, 97])
@pytest.mark.parametrize("number", [1, 255, 256, 50_000])
def test_a_product_over_many_rows(number: int, columns: int) -> None:
    left, right = draw(number, columns), draw(2 * number, 24)[::2, :5]
    exact = left.double().t() @ right.double()
    torch.testing.assert_close(product_over_rows(left, right).double(), exact, rtol=ROUNDINGS, atol=0)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 64, 10_000])
def test_a_pairwise_sum(number: int) -> None:
    total = PairwiseSum()
    term = torch.tensor([0.1, 1 / 3])
    for _ in range(number):
        total.add(term)
    torch.testing.assert_close(total.total().double(), number * term.double(), rtol=ROUNDINGS, atol=0)
    assert torch.equal(term, torch.tensor([0.1, 1 / 3]))


def test_a_pairwise_sum_keeps_few_of_its_terms() -> None:
    total = PairwiseSum()
    for _ in range(1023):
        total.add(torch.ones(()))
    assert total.total() == 1023
    assert len(total._sums) == 10
