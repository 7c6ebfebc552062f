"""The RNN with feedback: a residual step of the vanilla RNN, without any constraint on its matrix."""

from typing import ClassVar

from torch import Tensor

from asrnn.cells.parts.euler import EulerCell


class Feedback(EulerCell):
    """The RNN with feedback.

    h_t = h_{t-1} + epsilon tanh(W h_{t-1} + V x_t + b)

    The second row of Figure 1 of Chang et al., ICLR 2019, arXiv 1902.09689. With W antisymmetric it is the
    paper's Equation 10; W is free here, so states may grow or decay exponentially.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/n).

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` W ``[H, H]``, ``bias`` b ``[H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019

    def __init__(self, input_size: int, hidden_size: int, *, epsilon: float = 0.01, sigma_w: float = 1.0) -> None:
        super().__init__(
            input_size, hidden_size, epsilon=epsilon, sigma_w=sigma_w, weight_hh=(hidden_size, hidden_size)
        )

    @property
    def recurrent_weight(self) -> Tensor:
        """The matrix W, ``[H, H]``."""
        return self.weight_hh
