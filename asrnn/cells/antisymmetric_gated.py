"""AntisymmetricRNN with gating: the step size of each unit is scaled by a gate on the same matrix."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.antisymmetric import antisymmetric_matrix, diffused
from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.hyperparameters import non_negative, positive
from asrnn.cells.initialization import hidden_weight, input_weight, zero_bias
from asrnn.cells.once_a_scan import once_a_scan


class AntisymmetricGated(RecurrentCell):
    """The AntisymmetricRNN with gating.

    z_t = sigmoid((A - gamma I) h_{t-1} + V_z x_t + b_z),   A = U - U^T

    h_t = h_{t-1} + epsilon z_t * tanh((A - gamma I) h_{t-1} + V_h x_t + b_h)

    Equation 13 of Chang et al., ICLR 2019, arXiv 1902.09689: the gate and the candidate share one matrix, so
    that the Jacobian keeps its form. As in ``torch.nn``, the rows of the two inputs are stacked, the gate's
    before the candidate's.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above.
        sigma_w: the entries of U are drawn from N(0, sigma_w^2/n).

    Shapes: ``weight_ih`` (V_z, V_h) ``[2 H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` (b_z, b_h)
    ``[2 H]``.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.01,
        gamma: float = 0.01,
        sigma_w: float = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = positive("epsilon", epsilon)
        self.gamma = non_negative("gamma", gamma)
        num_entries = hidden_size * (hidden_size - 1) // 2
        self.weight_ih = input_weight(2 * hidden_size, input_size)
        self.weight_hh = hidden_weight(num_entries, hidden_size=hidden_size, sigma_w=sigma_w)
        self.bias = zero_bias(2 * hidden_size)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix A - gamma I, ``[H, H]``."""
        return diffused(antisymmetric_matrix(self.weight_hh, self.hidden_size), self.gamma)

    def project(self, x: Tensor) -> Tensor:
        """Compute (V_z x + b_z, V_h x + b_h), ``[..., I]`` to ``[..., 2 H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Take one gated Euler step, ``u`` ``[B, 2 H]`` and h ``[B, H]``."""
        (h,) = state
        u_z, u_h = u.chunk(2, dim=-1)
        recurrent = h @ self.recurrent_weight.T
        z = torch.sigmoid(recurrent + u_z)
        return (h + self.epsilon * z * torch.tanh(recurrent + u_h),)
