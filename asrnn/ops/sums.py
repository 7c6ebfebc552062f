"""Sums of many numbers in float32, as exact as a few roundings: of blocks first, then of their sums."""

import torch
from torch import Tensor

_BLOCK = 256  # rows; a block costs a product of its own, and its terms are rounded as often as there are rows


class PairwiseSum:
    """A sum of tensors that come one by one: none is added to more than log2 of their number of others.

    Added up in their order, each would be rounded to what a number of the size of the whole can hold.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Tensor]] = []  # each with how many terms it is of, more than the next

    def add(self, term: Tensor) -> None:
        """Add a term, which must not be changed afterwards."""
        count = 1
        while self._sums and self._sums[-1][0] == count:
            term = self._sums.pop()[1] + term
            count *= 2
        self._sums.append((count, term))

    def total(self) -> Tensor:
        """Return the sum of at least one term."""
        *others, (_, total) = self._sums
        for _, term in reversed(others):
            total = term + total
        return total


def product_over_rows(left: Tensor, right: Tensor) -> Tensor:
    """Multiply ``[n, P]`` by ``[n, Q]`` over their many rows, ``[P, Q]``.

    A library may add up the n products of a number of the result one by one, and does where P is small.
    """
    size = max(_BLOCK, 4 * left.shape[1])  # the products of all blocks are smaller than what is multiplied
    whole = len(left) - len(left) % size
    parts = [left[whole:].t() @ right[whole:]] if whole < len(left) else []
    if whole:
        blocks = [rows[:whole].view(-1, size, rows.shape[1]) for rows in (left, right)]
        parts.append(torch.bmm(blocks[0].transpose(1, 2), blocks[1]).sum(0))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]
