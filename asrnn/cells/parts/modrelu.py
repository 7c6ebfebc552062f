"""Compute modReLU, a threshold on the modulus of a unit that keeps its sign or phase; define real cells with it."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.modrelu import ModReLU


def mod_relu(z: Tensor, bias: Tensor) -> Tensor:
    """Move the size of real units by a bias, down to 0 at most, and keep their signs.

    modReLU(z; b) = sign(z) relu(|z| + b)

    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464, for real units. As sign(0) = 0, a unit at exactly 0 stays
    there whatever its bias is, and passes no gradient on.

    Args:
        z: the input of the units, ``[..., H]``.
        bias: b, ``[H]``; below 0 it makes a dead zone, above 0 a jump at 0.
    """
    return torch.sgn(z) * F.relu(z.abs() + bias)


def complex_mod_relu(re: Tensor, im: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Move the modulus of complex units by a bias, down to 0 at most, and keep their phases.

    modReLU(z; b) = relu(|z| + b) z / |z|,   0 where z = 0

    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464, without the small constant that their program adds to the
    denominator. A unit at exactly 0 stays there, and passes no gradient on.

    Args:
        re: the real part of z, ``[..., N]``.
        im: the imaginary part of z, ``[..., N]``.
        bias: b, real, ``[N]``.

    Returns:
        the real and the imaginary part, ``[..., N]`` each.
    """
    # The squares decide, because a modulus whose square is 0 in this precision is too small to divide by.
    away_from_zero = re * re + im * im > 0
    # hypot has no derivative at 0, hence the 1. The derivatives of a square root and of relu(|z| + b) / |z| would grow
    # with 1/|z| and overflow.
    modulus = torch.hypot(torch.where(away_from_zero, re, 1.0), im)
    size = torch.where(away_from_zero, F.relu(modulus + bias), 0.0)
    return size * (re / modulus), size * (im / modulus)


class ModReLUCell(FusedCell):
    """h_t = modReLU(M h_{t-1} + V x_t; b), with M the cell's ``recurrent_weight``.

    The bias b is inside modReLU only. From h_0 = 0, the state stays 0 until the first input that is not 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        weight_ih: the initial V, ``[H, I]``.
        weight_hh: the initial values of the entries that M is built from.
        bias: the initial b, ``[H]``.
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

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the state, M, and the vector b."""
        return Operands(x, self.weight_ih, torch.zeros_like(self.bias), state, (self.recurrent_weight,), (self.bias,))
