"""The paper's ablation of the gated AntisymmetricRNN: a free matrix in place of the antisymmetric one."""

from typing import ClassVar

from torch import Tensor

from asrnn.cells.antisymmetric import diffused
from asrnn.cells.once_a_scan import once_a_scan
from asrnn.cells.parts.euler import GatedStep
from asrnn.cells.parts.hyperparameters import non_negative


class UnstructuredGated(GatedStep):
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

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019

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
            input_size, hidden_size, epsilon=epsilon, sigma_w=sigma_w, weight_hh=(hidden_size, hidden_size)
        )
        self.gamma = non_negative("gamma", gamma)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W - gamma I, ``[H, H]``."""
        return diffused(self.weight_hh, self.gamma)
