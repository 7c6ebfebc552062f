"""AntisymmetricRNN with gating: the step size of each unit is scaled by a gate on the same matrix."""

from typing import ClassVar

from torch import Tensor

from asrnn.cells.antisymmetric import antisymmetric_matrix, diffused
from asrnn.cells.euler import GatedEulerCell
from asrnn.cells.hyperparameters import non_negative
from asrnn.cells.once_a_scan import once_a_scan


class AntisymmetricGated(GatedEulerCell):
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
        super().__init__(
            input_size,
            hidden_size,
            epsilon=epsilon,
            sigma_w=sigma_w,
            weight_hh=(hidden_size * (hidden_size - 1) // 2,),
        )
        self.gamma = non_negative("gamma", gamma)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix A - gamma I, ``[H, H]``."""
        return diffused(antisymmetric_matrix(self.weight_hh, self.hidden_size), self.gamma)
