"""Share the linear recurrence of minGRU and minLSTM, whose gates see only the input."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.initialization import input_weight, zero_bias
from asrnn.cells.parts.parallel import ElementwiseCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence, linear_recurrence


class LinearGatedCell(ElementwiseCell):
    """h_t = a_t * h_{t-1} + b_t, with a_t in (0, 1) and b_t functions of x_t.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        positive: pass the candidate through g, as the paper's form with logarithms does.
    """

    num_rows: ClassVar[int]
    """The number of rows of V x + b for each unit, one for each gate and one for the candidate."""

    without_g: ClassVar[type[Recurrence]]
    """The recurrence without g, for ``positive=False``."""

    def __init__(self, input_size: int, hidden_size: int, *, positive: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.positive = positive
        self.weight_ih = input_weight(self.num_rows * hidden_size, input_size)
        self.bias = zero_bias(self.num_rows * hidden_size)

    @abstractmethod
    def coefficients(self, *u: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a and b of h_t = a_t * h_{t-1} + b_t from the rows of V x + b, ``[..., H]`` each."""

    def candidate(self, u: Tensor) -> Tensor:
        """Compute g(u): u + 1/2 for u >= 0 and sigmoid(u) for u < 0; without ``positive`` return u."""
        if not self.positive:
            return u
        above = torch.relu(u)  # sums, because the gradient of torch.where takes several times as long
        return above + torch.sigmoid(u - above)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., num_rows H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def recurrence(self) -> Recurrence:
        """Return the recurrence, with g or without."""
        return self.recurrence_class() if self.positive else self.without_g()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b and the state."""
        return Operands(x, self.weight_ih, self.bias, state)

    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Solve the linear recurrence; see :meth:`asrnn.cells.parts.parallel.ParallelCell.scan_in_parallel`."""
        parts = zip(self.weight_ih.chunk(self.num_rows), self.bias.chunk(self.num_rows), strict=True)
        # One product for each gate: slices of a single product would not be contiguous for what follows.
        u = [F.linear(x, weight, bias) for weight, bias in parts]
        states = linear_recurrence(*self.coefficients(*u), *state)
        return states, (states[-1],)
