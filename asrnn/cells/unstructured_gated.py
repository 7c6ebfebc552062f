"""The paper's ablation of the gated AntisymmetricRNN: a free matrix in place of the antisymmetric one."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.antisymmetric import diffused
from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.hyperparameters import non_negative, positive
from asrnn.cells.initialization import hidden_weight, input_weight, zero_bias
from asrnn.cells.once_a_scan import once_a_scan


class UnstructuredGated(RecurrentCell):
    """The gated AntisymmetricRNN without its antisymmetry.

    z_t = sigmoid((W - gamma I) h_{t-1} + V_z x_t + b_z)

    h_t = h_{t-1} + epsilon z_t * tanh((W - gamma I) h_{t-1} + V_h x_t + b_h)

    The ablation model of section 5.4 of Chang et al., ICLR 2019, arXiv 1902.09689: Equation 13 with one
    unstructured W for the gate and the candidate, which is the only reading that has the 42k parameters of
    its Table 2. The paper does not say whether gamma I stays; it does here. The rows of the two inputs are
    stacked, the gate's before the candidate's.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/n).

    Shapes: ``weight_ih`` (V_z, V_h) ``[2 H, I]``, ``weight_hh`` W ``[H, H]``, ``bias`` (b_z, b_h) ``[2 H]``.
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
        self.weight_ih = input_weight(2 * hidden_size, input_size)
        self.weight_hh = hidden_weight(hidden_size, hidden_size, hidden_size=hidden_size, sigma_w=sigma_w)
        self.bias = zero_bias(2 * hidden_size)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W - gamma I, ``[H, H]``."""
        return diffused(self.weight_hh, self.gamma)

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
