"""What the AntisymmetricRNN paper's cells share: Euler steps with one square matrix, with and without a gate."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.base import State
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import positive
from asrnn.cells.parts.initialization import hidden_weight, input_weight, zero_bias
from asrnn.ops import GatedResidual, Operands, Recurrence, Residual


class EulerCell(FusedCell):
    """h_t = h_{t-1} + epsilon tanh(M h_{t-1} + V x_t + b), with M the cell's ``recurrent_weight``.

    Args:
        input_size: I.
        hidden_size: H.
        epsilon: the step size of the Euler method, above 0.
        sigma_w: the entries of ``weight_hh`` are drawn from N(0, sigma_w^2/H).
        weight_hh: the shape of what M is made of.
    """

    recurrence_class: ClassVar[type[Recurrence]] = Residual

    def __init__(
        self, input_size: int, hidden_size: int, *, epsilon: float, sigma_w: float, weight_hh: tuple[int, ...]
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = positive("epsilon", epsilon)
        rows = self.recurrence_class.num_inputs * hidden_size
        self.weight_ih = input_weight(rows, input_size)
        self.weight_hh = hidden_weight(*weight_hh, hidden_size=hidden_size, sigma_w=sigma_w)
        self.bias = zero_bias(rows)

    @property
    @abstractmethod
    def recurrent_weight(self) -> Tensor:
        """The matrix M, ``[H, H]``."""

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``, or ``[..., 2 H]`` with a gate."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Take one Euler step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (h + self.epsilon * torch.tanh(u + h @ self.recurrent_weight.T),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence with the step size epsilon."""
        return self.recurrence_class(self.epsilon)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, the state, V, b and M."""
        return Operands(x, self.weight_ih, self.bias, state, (self.recurrent_weight,))


class GatedStep(EulerCell):
    """The step h_t = h_{t-1} + epsilon z_t * tanh(M h_{t-1} + V_h x_t + b_h), z_t = sigmoid(M h_{t-1} + V_z x_t + b_z).

    As in ``torch.nn``, the rows of the two inputs are stacked, the gate's before the candidate's. It stands before the
    cell whose M it gates: ``class AntisymmetricGated(GatedStep, Antisymmetric)``.
    """

    recurrence_class = GatedResidual

    def step(self, u: Tensor, state: State) -> State:
        """Take one gated Euler step, ``u`` ``[B, 2 H]`` and h ``[B, H]``."""
        (h,) = state
        u_z, u_h = u.chunk(2, dim=-1)
        recurrent = h @ self.recurrent_weight.T
        z = torch.sigmoid(recurrent + u_z)
        return (h + self.epsilon * z * torch.tanh(recurrent + u_h),)
