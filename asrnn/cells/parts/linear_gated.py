"""Share between minGRU and minLSTM what gates that see the input alone allow: a linear recurrence."""

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
        input_size: I.
        hidden_size: H.
        positive: pass the candidate through g, as the paper's form with logarithms does.
    """

    num_rows: ClassVar[int]
    """How many numbers a unit gets of V x + b: its gates' and its candidate's."""

    without_g: ClassVar[type[Recurrence]]
    """The recurrence of ``recurrence_class`` where the candidate is as it is."""

    def __init__(self, input_size: int, hidden_size: int, *, positive: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.positive = positive
        self.weight_ih = input_weight(self.num_rows * hidden_size, input_size)
        self.bias = zero_bias(self.num_rows * hidden_size)

    @abstractmethod
    def coefficients(self, *u: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a and b of h_t = a_t * h_{t-1} + b_t from the parts of V x + b, ``[..., H]`` each."""

    def candidate(self, u: Tensor) -> Tensor:
        """Compute g(u), u + 1/2 where u is 0 or more and sigmoid(u) elsewhere, or leave u where none is asked for."""
        if not self.positive:
            return u
        above = torch.relu(u)  # two sums for a choice, whose gradient takes several times as long
        return above + torch.sigmoid(u - above)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., num_rows H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def recurrence(self) -> Recurrence:
        """Return the recurrence with the candidate that was asked for."""
        return self.recurrence_class() if self.positive else self.without_g()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b and the state."""
        return Operands(x, self.weight_ih, self.bias, state)

    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Solve the linear recurrence; see :meth:`ParallelCell.scan_in_parallel`."""
        parts = zip(self.weight_ih.chunk(self.num_rows), self.bias.chunk(self.num_rows), strict=True)
        # A product a part, as parts of one product are not contiguous, and all that follows is element by element.
        u = [F.linear(x, weight, bias) for weight, bias in parts]
        states = linear_recurrence(*self.coefficients(*u), *state)
        return states, (states[-1],)
