"""Cells of real modReLU units around one square matrix, which expRNN and scoRNN make orthogonal."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.base import State
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.modrelu import mod_relu
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.modrelu import ModReLU


class ModReLUCell(FusedCell):
    """h_t = modReLU(M h_{t-1} + V x_t; b), with M the cell's ``recurrent_weight``.

    The bias b is inside of modReLU and nowhere else: from h_0 = 0, the state stays 0 until the first input that is not.

    Args:
        input_size: I.
        hidden_size: H.
        weight_ih: V, ``[H, I]``, as it starts.
        weight_hh: what M is made of, as it starts.
        bias: b, ``[H]``, as it starts.
    """

    recurrence_class: ClassVar[type[Recurrence]] = ModReLU

    def __init__(
        self, input_size: int, hidden_size: int, *, weight_ih: nn.Parameter, weight_hh: Tensor, bias: nn.Parameter
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = weight_ih
        self.weight_hh = nn.Parameter(weight_hh)
        self.bias = bias

    @property
    @abstractmethod
    def recurrent_weight(self) -> Tensor:
        """The matrix M, ``[H, H]``."""

    def project(self, x: Tensor) -> Tensor:
        """Compute V x, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (mod_relu(u + h @ self.recurrent_weight.T, self.bias),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the state, M, and the vector b."""
        return Operands(x, self.weight_ih, torch.zeros_like(self.bias), state, (self.recurrent_weight,), (self.bias,))
