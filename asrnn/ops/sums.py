"""Sum many float32 numbers with the error of a few roundings: first within blocks, then over the blocks."""

import torch
from torch import Tensor

_BLOCK = 256  # rows; each block costs one product, and a product rounds its sum once for each row


class PairwiseSum:
    """A pairwise sum of tensors that arrive one by one: each goes through at most log2(n) additions.

    A running total would instead round every term to the precision of the whole sum.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Tensor]] = []  # (number of terms, their sum), in falling order of the number

    def add(self, term: Tensor) -> None:
        """Add a term, which must not change afterwards."""
        count = 1
        while self._sums and self._sums[-1][0] == count:
            term = self._sums.pop()[1] + term
            count *= 2
        self._sums.append((count, term))

    def total(self) -> Tensor:
        """Return the sum of all terms; there must be at least one."""
        *others, (_, total) = self._sums
        for _, term in reversed(others):
            total = term + total
        return total


def product_over_rows(left: Tensor, right: Tensor) -> Tensor:
    """Return left^T right, ``[P, Q]``, of ``[n, P]`` and ``[n, Q]``, where n is large.

    The rows are multiplied in blocks, because a library may add up the n products of an element one by one, as it does
    where P is small.
    """
    size = max(_BLOCK, 4 * left.shape[1])  # so that the products of all blocks take less memory than the factors
    whole = len(left) - len(left) % size
    parts = [left[whole:].t() @ right[whole:]] if whole < len(left) else []
    if whole:
        blocks = [rows[:whole].view(-1, size, rows.shape[1]) for rows in (left, right)]
        parts.append(torch.bmm(blocks[0].transpose(1, 2), blocks[1]).sum(0))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]
