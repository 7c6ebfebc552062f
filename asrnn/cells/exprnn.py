"""expRNN: an orthogonal recurrent matrix, the exponential of a skew-symmetric one."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.cells.once_a_scan import once_a_scan
from asrnn.cells.parts.hyperparameters import one_of
from asrnn.cells.parts.modrelu_cell import ModReLUCell
from asrnn.cells.parts.orthogonal import block_rotations, exponential
from asrnn.cells.parts.uniform import uniform


class ExpRNN(ModReLUCell):
    """The exponential RNN.

    h_t = modReLU(B h_{t-1} + V x_t; b),   B = exp(A),   A = U - U^T

    Lezcano-Casado and Martinez-Rubio, ICML 2019, arXiv 1901.08428; their program has B^T in B's place. The base of the
    exponential is I and stays there: the base that moves in training (dtriv) is another way to learn the same cell. It
    starts as their code does: V from N(0, 2/I), b from U(-0.01, 0.01), and A of 2 x 2 blocks that turn pairs of units.

    Args:
        input_size: I.
        hidden_size: H.
        init: how A starts. ``cayley``, theirs for pixel MNIST, turns each pair by up to 1 radian under the exponential,
            ``henaff``, theirs for the copying task, by any angle: :func:`asrnn.cells.parts.orthogonal.block_rotations`.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` b ``[H]``.

    Raises:
        ModelError: there is no such ``init``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "orthogonal"
    paper: ClassVar[str] = "Lezcano-Casado and Martinez-Rubio, ICML 2019, arXiv 1901.08428"
    year: ClassVar[int] = 2019
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)

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
