"""Define the RNN with feedback: a residual step of the vanilla RNN with an unconstrained matrix."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import positive
from asrnn.cells.parts.initialization import hidden_weight, input_weight, zero_bias
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence, Residual


class Feedback(FusedCell):
    r"""The RNN with feedback.

    .. math::
        h_t = h_{t-1} + \epsilon \tanh(W h_{t-1} + V x_t + b)

    Source: The second row of Figure 1 of Chang et al., ICLR 2019, arXiv 1902.09689.

    With an antisymmetric W it is the paper's Equation 10. Here W is free, so states may grow or decay exponentially.

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
    recurrence_class: ClassVar[type[Recurrence]] = Residual

    def __init__(self, input_size: int, hidden_size: int, *, epsilon: float = 0.01, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = positive("epsilon", epsilon)
        self.weight_ih = input_weight(hidden_size, input_size)
        self.weight_hh = hidden_weight(hidden_size, hidden_size, hidden_size=hidden_size, sigma_w=sigma_w)
        self.bias = zero_bias(hidden_size)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Take one Euler step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (h + self.epsilon * torch.tanh(u + h @ self.weight_hh.T),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence with the step size epsilon."""
        return self.recurrence_class(self.epsilon)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state and W."""
        return Operands(x, self.weight_ih, self.bias, state, (self.weight_hh,))
