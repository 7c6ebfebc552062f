"""AntisymmetricRNN with gating: the step size of each unit is scaled by a gate on the same matrix."""

from typing import ClassVar

from asrnn.cells.antisymmetric import Antisymmetric
from asrnn.cells.parts.euler import GatedStep


class AntisymmetricGated(GatedStep, Antisymmetric):
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

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019
