"""Recurrent models with which nothing is wrong, though each is unusual in one way: what the contract must let pass."""

import torch
from broken_models import Sound
from torch import Tensor, nn


class HasNoMemory(Sound):
    """It forgets everything at every step, with the weights it starts with."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        nn.init.zeros_(self.W.weight)


class ReturnsTheLast(Sound):
    """It returns the last output alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[1]


class WantsSixteens(Sound):
    """It takes hidden sizes that are multiples of 16."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        if hidden_size % 16:
            raise ValueError(f"hidden_size must be a multiple of 16, not {hidden_size}")
        super().__init__(input_size, hidden_size)


class DropsInTraining(Sound):
    """It drops inputs in training."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(nn.functional.dropout(x, 0.2, self.training), state)


class KeepsStatistics(Sound):
    """It standardises over the batch in training, and by what it saw there in evaluation."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(input_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(self.norm(x.flatten(0, 1)).view_as(x), state)


class TakesAMask(Sound):
    """A second argument that is no state is keyword-only."""

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x if mask is None else x * mask)


class ForgetsNowAndThen(Sound):
    """It starts anew at some inputs, about one in twenty: the gradient from before is 0, and rightly so."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u, h * (u[:, :1] > self.V.bias[0] - 0.1))


class StartsDead(Sound):
    """A gain that starts at 0: nothing but the gain has a gradient in the first step of a training."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.gain = nn.Parameter(torch.zeros(hidden_size))

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u * self.gain, h) + 1
