"""Define a cell in a package of its own: pairs of units that oscillate, driven by the input."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn import RecurrentCell


class Pendulums(RecurrentCell):
    """Pairs of units that oscillate, each with its own period, driven by the input and by all units.

    r_t = R h_{t-1},   h_t = r_t + epsilon tanh(W r_t + V x_t + b)

    R rotates pair i by 2 pi / period_i. The periods are spaced evenly on a logarithmic scale, from 2 steps to
    ``longest``. A rotation loses nothing, so the phase of a slow pair shows how long ago an input came.

    Args:
        input_size: I.
        hidden_size: H; if it is odd, the last unit does not oscillate.
        epsilon: the factor of the input and of the other units, above 0.
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
        """Compute h_t from ``u`` = V x_t + b and h_{t-1}, both ``[B, H]``."""
        (h,) = state
        turned = h @ self.turn.T
        return (turned + self.epsilon * torch.tanh(self.hidden(turned) + u),)


def _turn(hidden_size: int, longest: float) -> Tensor:
    """Return R, ``[H, H]``: a rotation for each pair of units."""
    pairs = hidden_size // 2
    turn = torch.eye(hidden_size)
    for pair in range(pairs):
        period = 2 * (longest / 2) ** (pair / max(1, pairs - 1))
        angle = torch.tensor(2 * torch.pi / period)
        i, j = 2 * pair, 2 * pair + 1
        turn[i, i] = turn[j, j] = angle.cos()
        turn[j, i], turn[i, j] = angle.sin(), -angle.sin()
    return turn
