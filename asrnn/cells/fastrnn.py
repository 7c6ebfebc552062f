"""Define the FastRNN: the vanilla RNN with a residual connection that two learnt numbers weight."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import finite
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.fastrnn import FastRNNRecurrence


class FastRNN(FusedCell):
    r"""The vanilla RNN with a residual connection, both weighted by learnt numbers.

    .. math::
        h_t = \sigma(\alpha) \tanh(W h_{t-1} + V x_t + b) + \sigma(\beta) h_{t-1}

    Source: Kusupati et al., NeurIPS 2018, arXiv 1901.02358.

    Alpha and beta are one learnt number each. The initialisation is that of the authors' code: V and W from N(0,
    0.1^2), b 1, sigmoid(alpha) 0.05 and sigmoid(beta) 0.95. One thing differs: from H = 100 on, the standard deviation
    of W is 1/sqrt(H). With 0.1 the spectral radius of W would grow with H beyond 1.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        alpha: the initial alpha, any number. sigmoid(alpha) weights the new part.
        beta: the initial beta, any number. sigmoid(beta) weights the old state.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` W ``[H, H]``, ``bias`` b ``[H]``, ``alpha`` and ``beta`` ``[1]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Kusupati et al., NeurIPS 2018, arXiv 1901.02358"
    year: ClassVar[int] = 2018
    recurrence_class: ClassVar[type[Recurrence]] = FastRNNRecurrence

    def __init__(self, input_size: int, hidden_size: int, *, alpha: float = -3.0, beta: float = 3.0) -> None:
        super().__init__(input_size, hidden_size)
        deviation = min(0.1, 1 / math.sqrt(hidden_size))
        self.weight_ih = nn.Parameter(0.1 * torch.randn(hidden_size, input_size))
        self.weight_hh = nn.Parameter(deviation * torch.randn(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.ones(hidden_size))
        self.alpha = nn.Parameter(torch.tensor([finite("alpha", alpha)]))
        self.beta = nn.Parameter(torch.tensor([finite("beta", beta)]))

    @once_a_scan
    def new_share(self) -> Tensor:
        """What is new is weighed by sigmoid(alpha), ``[1]``."""
        return torch.sigmoid(self.alpha)

    @once_a_scan
    def old_share(self) -> Tensor:
        """What was there is weighed by sigmoid(beta), ``[1]``."""
        return torch.sigmoid(self.beta)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (self.new_share * torch.tanh(u + h @ self.weight_hh.T) + self.old_share * h,)

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state, W, and what alpha and beta weigh by as vectors."""
        shares = (self.new_share.expand(self.hidden_size), self.old_share.expand(self.hidden_size))
        return Operands(x, self.weight_ih, self.bias, state, (self.weight_hh,), shares)
