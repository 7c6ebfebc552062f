"""Define the scoRNN: its recurrent matrix is orthogonal, the scaled Cayley transform of a skew-symmetric one."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.cells.parts.hyperparameters import unit_interval
from asrnn.cells.parts.initialization import uniform, zero_bias
from asrnn.cells.parts.modrelu import ModReLUCell, mod_relu
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.orthogonal import block_rotations, cayley
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.modrelu import ModReLU


class ScoRNN(ModReLUCell):
    r"""The scaled Cayley orthogonal RNN: its recurrent matrix is a scaled Cayley transform, so it is orthogonal.

    .. math::
        h_t = \mathrm{modReLU}(W h_{t-1} + V x_t; b), \qquad W = (I + A)^{-1} (I - A) D, \qquad A = U - U^\top

    Source: Helfrich, Willmott and Ye, ICML 2018, arXiv 1707.09520.

    D is diagonal and fixed: -1 for the last round(rho H) units and 1 for the others. With D, W may have the eigenvalue
    -1. The initialisation is that of their code: V from U(-0.01, 0.01), b 0, and A of 2 x 2 blocks for which (I + A)^-1
    (I - A) rotates pairs of units by an angle from U(0, pi/2).

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        rho: the share of -1 in D, from 0 to 1. The authors have 0.1 for pixel MNIST, 0.5 for the copying task and, as
            others report, for permuted MNIST.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` b ``[H]``.

    Raises:
        ModelError: ``rho`` is not from 0 to 1.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "orthogonal"
    paper: ClassVar[str] = "Helfrich, Willmott and Ye, ICML 2018, arXiv 1707.09520"
    year: ClassVar[int] = 2018
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)
    recurrence_class: ClassVar[type[Recurrence]] = ModReLU

    def __init__(self, input_size: int, hidden_size: int, *, rho: float = 0.1) -> None:
        super().__init__(
            input_size,
            hidden_size,
            weight_ih=uniform(hidden_size, input_size, bound=0.01),
            weight_hh=block_rotations(hidden_size, "cayley"),
            bias=zero_bias(hidden_size),
        )
        self.num_negative = round(unit_interval("rho", rho) * hidden_size)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The orthogonal matrix W, ``[H, H]``."""
        orthogonal = cayley(antisymmetric_matrix(self.weight_hh, self.hidden_size))
        kept, negated = orthogonal.tensor_split([self.hidden_size - self.num_negative], dim=1)
        return torch.cat((kept, -negated), dim=1)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (mod_relu(u + h @ self.recurrent_weight.T, self.bias),)
