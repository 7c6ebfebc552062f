"""Define the expRNN: its recurrent matrix is orthogonal, the exponential of a skew-symmetric one."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.cells.parts.hyperparameters import one_of
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.modrelu import ModReLUCell, mod_relu
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.orthogonal import block_rotations, exponential
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.modrelu import ModReLU


class ExpRNN(ModReLUCell):
    r"""The exponential RNN: its recurrent matrix is the exponential of an antisymmetric one, so it is orthogonal.

    .. math::
        h_t = \mathrm{modReLU}(B h_{t-1} + V x_t; b), \qquad B = \exp(A), \qquad A = U - U^\top

    Source: Lezcano-Casado and Martinez-Rubio, ICML 2019, arXiv 1901.08428.

    Their program has B^T in place of B. The base of the exponential is I and does not move; a base that moves in
    training (dtriv) is another way to learn the same cell. The initialisation is that of their code: V from N(0, 2/I),
    b from U(-0.01, 0.01), and A of 2 x 2 blocks, each of which rotates a pair of units.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        init: how A starts. ``cayley``, the authors' for pixel MNIST, rotates each pair by up to 1 radian under the
            exponential; ``henaff``, theirs for the copying task, by any angle. See
            :func:`asrnn.cells.parts.orthogonal.block_rotations`.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` b ``[H]``.

    Raises:
        ModelError: there is no such ``init``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "orthogonal"
    paper: ClassVar[str] = "Lezcano-Casado and Martinez-Rubio, ICML 2019, arXiv 1901.08428"
    year: ClassVar[int] = 2019
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)
    recurrence_class: ClassVar[type[Recurrence]] = ModReLU

    def __init__(self, input_size: int, hidden_size: int, *, init: str = "cayley") -> None:
        init = one_of("init", init, ("cayley", "henaff"))
        super().__init__(
            input_size,
            hidden_size,
            weight_ih=nn.Parameter(math.sqrt(2 / input_size) * torch.randn(hidden_size, input_size)),
            weight_hh=block_rotations(hidden_size, init),
            bias=uniform(hidden_size, bound=0.01),
        )

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The orthogonal matrix B, ``[H, H]``."""
        return exponential(antisymmetric_matrix(self.weight_hh, self.hidden_size))

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (mod_relu(u + h @ self.recurrent_weight.T, self.bias),)
