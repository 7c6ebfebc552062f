"""Define the LipschitzRNN: an ODE with a linear and a nonlinear part, whose matrices have bounded spectra."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.antisymmetric import diffused
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import non_negative, one_of, positive
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.errors import ModelError
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.lipschitz import LipschitzEuler


class Lipschitz(FusedCell):
    r"""The Lipschitz recurrent network: explicit steps of h' = A h + tanh(W h + V x + b).

    .. math::
        k(h) &= A h + \tanh(W h + V x_t + b) \\
        h_t &= h_{t-1} + \epsilon \, k(h_{t-1}) \qquad \text{(euler)} \\
        h_t &= h_{t-1} + \epsilon \, k\big(h_{t-1} + \tfrac{\epsilon}{2} k(h_{t-1})\big) \qquad \text{(midpoint)}

    Source: Erichson et al., ICLR 2021, arXiv 2006.12070, with one beta and one gamma for A and W, as in the authors'
    code.

    A and W are each built from a free matrix M: A = (1 - beta)(M + M^T) + beta (M - M^T) - gamma I.

    The default hyper-parameters are the authors' for pixel MNIST. The initialisation is that of their code: the entries
    of each M from N(0, init_std^2/H^2), so the ODE starts close to h' = tanh(V x + b); V and b from U(-1/sqrt(I),
    1/sqrt(I)), as in torch's linear layer.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        epsilon: the step size, above 0.
        beta: the weight of the antisymmetric part of M against the symmetric one, above 0 and below 1; useful from 1/2
            on.
        gamma: how far the spectra of A and W are shifted to the left, 0 or above.
        init_std: H times the initial standard deviation of the entries of M, 0 or above.
        method: ``euler`` or ``midpoint``. A midpoint step costs twice as much.

    Shapes: ``weight_ih`` V ``[H, I]``, ``free_a`` and ``free_w``, the M of A and of W, ``[H, H]``, ``bias`` b ``[H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Erichson et al., ICLR 2021, arXiv 2006.12070"
    year: ClassVar[int] = 2021
    recurrence_class: ClassVar[type[Recurrence]] = LipschitzEuler

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.03,
        beta: float = 0.75,
        gamma: float = 0.001,
        init_std: float = 0.1,
        method: str = "euler",
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = positive("epsilon", epsilon)
        self.beta = positive("beta", beta)
        if beta >= 1:
            raise ModelError(
                f"beta must be below 1, because at 1 half of the numbers of M have no effect; it is {beta!r}"
            )
        self.gamma = non_negative("gamma", gamma)
        self.method = one_of("method", method, ("euler", "midpoint"))
        of_input = 1 / math.sqrt(input_size)
        deviation = non_negative("init_std", init_std) / hidden_size
        self.weight_ih = uniform(hidden_size, input_size, bound=of_input)
        self.free_a = nn.Parameter(deviation * torch.randn(hidden_size, hidden_size))
        self.free_w = nn.Parameter(deviation * torch.randn(hidden_size, hidden_size))
        self.bias = uniform(hidden_size, bound=of_input)

    @once_a_scan
    def linear_weight(self) -> Tensor:
        """The matrix A, ``[H, H]``."""
        return self._balanced(self.free_a)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W, ``[H, H]``."""
        return self._balanced(self.free_w)

    def _balanced(self, M: Tensor) -> Tensor:
        symmetric, antisymmetric = M + M.T, M - M.T
        return diffused((1 - self.beta) * symmetric + self.beta * antisymmetric, self.gamma)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def slope(self, u: Tensor, h: Tensor) -> Tensor:
        """Compute k(h), the right-hand side of the ODE, all ``[B, H]``."""
        return h @ self.linear_weight.T + torch.tanh(u + h @ self.recurrent_weight.T)

    def step(self, u: Tensor, state: State) -> State:
        """Advance the ODE by epsilon, ``u`` and h ``[B, H]``."""
        (h,) = state
        k = self.slope(u, h)
        if self.method == "midpoint":
            k = self.slope(u, h + self.epsilon / 2 * k)
        return (h + self.epsilon * k,)

    def recurrence(self) -> Recurrence | None:
        """Return the Euler step with epsilon, or None for midpoints."""
        return self.recurrence_class(self.epsilon) if self.method == "euler" else None

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state, W and A."""
        return Operands(x, self.weight_ih, self.bias, state, (self.recurrent_weight, self.linear_weight))
