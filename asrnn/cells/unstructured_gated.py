"""Define the gated AntisymmetricRNN with a free matrix, an ablation of the paper."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.antisymmetric import diffused
from asrnn.cells.antisymmetric_gated import AntisymmetricGated
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import GatedResidual, Recurrence


class UnstructuredGated(AntisymmetricGated):
    r"""The gated AntisymmetricRNN without its antisymmetry.

    .. math::
        z_t &= \sigma\big((W - \gamma I) h_{t-1} + V_z x_t + b_z\big) \\
        h_t &= h_{t-1} + \epsilon \, z_t \circ \tanh\big((W - \gamma I) h_{t-1} + V_h x_t + b_h\big)

    Source: The ablation model of section 5.4 of Chang et al., ICLR 2019, arXiv 1902.09689.

    It is Equation 13 with one unstructured W for the gate and the candidate. No other reading has the 42k parameters of
    the paper's Table 2. The paper does not say whether gamma I stays; it stays here. The rows of the two inputs are
    stacked, the gate's before the candidate's.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/n).

    Shapes: ``weight_ih`` (V_z, V_h) ``[2 H, I]``, ``weight_hh`` W ``[H, H]``, ``bias`` (b_z, b_h) ``[2 H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019
    recurrence_class: ClassVar[type[Recurrence]] = GatedResidual

    def weight_hh_shape(self) -> tuple[int, ...]:
        """Return the shape of W."""
        return self.hidden_size, self.hidden_size

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W - gamma I, ``[H, H]``."""
        return diffused(self.weight_hh, self.gamma)

    def step(self, u: Tensor, state: State) -> State:
        """Take one gated Euler step, ``u`` ``[B, 2 H]`` and h ``[B, H]``."""
        (h,) = state
        u_z, u_h = u.chunk(2, dim=-1)
        recurrent = h @ self.recurrent_weight.T
        z = torch.sigmoid(recurrent + u_z)
        return (h + self.epsilon * z * torch.tanh(recurrent + u_h),)
