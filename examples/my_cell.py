"""Define a recurrent cell of your own, and compare it with a built-in one:

asrnn-bench --suite long-range --models antisymmetric,examples/my_cell.py:LeakyCell
"""

import torch
from torch import Tensor, nn

from asrnn import RecurrentCell


class LeakyCell(RecurrentCell):
    """h_t = (1 - leak) h_{t-1} + leak tanh(W h_{t-1} + V x_t + b), with a learnt leak for each unit."""

    def __init__(self, input_size: int, hidden_size: int, *, leak: float = 0.05) -> None:
        super().__init__(input_size, hidden_size)
        self.input = nn.Linear(input_size, hidden_size)
        self.hidden = nn.Linear(hidden_size, hidden_size, bias=False)
        nn.init.orthogonal_(self.hidden.weight)
        self.leak = nn.Parameter(torch.full((hidden_size,), leak).logit())

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, which does not depend on the state, for all steps at once."""
        return self.input(x)

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compute h_t from V x_t + b and h_{t-1}."""
        (h,) = state
        leak = torch.sigmoid(self.leak)
        return ((1 - leak) * h + leak * torch.tanh(self.hidden(h) + u),)
