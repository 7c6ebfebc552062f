"""Define the AntisymmetricRNN with gating: a gate scales the step size of each unit."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.antisymmetric import Antisymmetric
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import GatedResidual, Recurrence


class AntisymmetricGated(Antisymmetric):
    r"""The AntisymmetricRNN with gating.

    .. math::
        z_t &= \sigma\big((A - \gamma I) h_{t-1} + V_z x_t + b_z\big), \qquad A = U - U^\top \\
        h_t &= h_{t-1} + \epsilon \, z_t \circ \tanh\big((A - \gamma I) h_{t-1} + V_h x_t + b_h\big)

    Source: Equation 13 of Chang et al., ICLR 2019, arXiv 1902.09689.

    The gate and the candidate share one matrix, so that the Jacobian keeps its form. As in ``torch.nn``, the rows of
    the two inputs are stacked, the gate's before the candidate's.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above.
        sigma_w: the entries of U are drawn from N(0, sigma_w^2/n).

    Shapes: ``weight_ih`` (V_z, V_h) ``[2 H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` (b_z, b_h) ``[2 H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019
    recurrence_class: ClassVar[type[Recurrence]] = GatedResidual

    def step(self, u: Tensor, state: State) -> State:
        """Take one gated Euler step, ``u`` ``[B, 2 H]`` and h ``[B, H]``."""
        (h,) = state
        u_z, u_h = u.chunk(2, dim=-1)
        recurrent = h @ self.recurrent_weight.T
        z = torch.sigmoid(recurrent + u_z)
        return (h + self.epsilon * z * torch.tanh(recurrent + u_h),)
