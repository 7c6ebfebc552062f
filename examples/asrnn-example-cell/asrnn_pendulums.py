"""A cell of one's own as an installed package: a bank of pendulums that are pushed."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn import RecurrentCell


class Pendulums(RecurrentCell):
    """Units that swing in pairs, each pair with a period of its own, and are pushed by the input and by each other.

    r_t = R h_{t-1},   h_t = r_t + epsilon tanh(W r_t + V x_t + b)

    R turns pair i by 2 pi / period_i; the periods lie between 2 steps and ``longest``, evenly on a logarithmic scale. A
    push stays where it was put, turned, so that the phases of slow pairs tell how long ago it came.

    Args:
        input_size: I.
        hidden_size: H; the last unit of an odd number does not swing.
        epsilon: how hard the pushes are, above 0.
        longest: the longest period, in steps, above 2.
    """

    version: ClassVar[int] = 1
    family: ClassVar[str] = "oscillator"

    turn: Tensor

    def __init__(self, input_size: int, hidden_size: int, *, epsilon: float = 0.1, longest: float = 1000.0) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = epsilon
        self.input = nn.Linear(input_size, hidden_size)
        self.hidden = nn.Linear(hidden_size, hidden_size, bias=False)
        self.register_buffer("turn", _turn(hidden_size, longest))

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b for all steps at once."""
        return self.input(x)

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Swing and push, ``u`` and h ``[B, H]``."""
        (h,) = state
        turned = h @ self.turn.T
        return (turned + self.epsilon * torch.tanh(self.hidden(turned) + u),)


def _turn(hidden_size: int, longest: float) -> Tensor:
    """Build R, ``[H, H]``: a rotation for each pair of units."""
    pairs = hidden_size // 2
    turn = torch.eye(hidden_size)
    for pair in range(pairs):
        period = 2 * (longest / 2) ** (pair / max(1, pairs - 1))
        angle = torch.tensor(2 * torch.pi / period)
        i, j = 2 * pair, 2 * pair + 1
        turn[i, i] = turn[j, j] = angle.cos()
        turn[j, i], turn[i, j] = angle.sin(), -angle.sin()
    return turn
