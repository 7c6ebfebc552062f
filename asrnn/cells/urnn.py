"""Define the unitary evolution RNN: its complex recurrent matrix is unitary and has 7 N parameters."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.fourier_unitary import draw_angles, draw_reflections, fourier_unitary
from asrnn.cells.parts.modrelu import complex_mod_relu
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.modrelu import ComplexModReLU


class URNN(ComplexCell):
    r"""The unitary evolution RNN, with N complex units and a unitary matrix of 7 N parameters.

    .. math::
        h_t = \mathrm{modReLU}(W h_{t-1} + V x_t; b), \qquad W = D_3 R_2 F^{-1} D_2 P R_1 F D_1

    Source: Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464.

    :func:`asrnn.cells.parts.fourier_unitary.fourier_unitary` explains the factors and multiplies them. W is built once
    a scan, not applied factor by factor: up to about a thousand units, one product with W takes less time. The
    initialisation is that of their code, with random D_k, R_k, V, b and learnt h_0. The permutation P is drawn once and
    fixed.

    Args:
        input_size: the input size I.
        hidden_size: N, the number of complex units.

    Shapes: ``weight_ih`` V ``[2 N, I]``, ``angles`` of D_1 to D_3 ``[3, N]``, ``reflections`` v_1 and v_2
    ``[2, N, 2]``, ``bias`` b ``[N]``, ``initial_h`` h_0 ``[2 N]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "unitary"
    paper: ClassVar[str] = "Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464"
    year: ClassVar[int] = 2016
    recurrence_class: ClassVar[type[Recurrence]] = ComplexModReLU

    permutation: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, learn_initial=True)
        self.angles = draw_angles(hidden_size)
        self.reflections = draw_reflections(hidden_size)
        self.register_buffer("permutation", torch.randperm(hidden_size))

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The unitary matrix W, complex, ``[N, N]``."""
        return fourier_unitary(self.angles, self.reflections, self.permutation)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 2 N]``, the real and imaginary parts of h ``[B, N]`` each."""
        u_re, u_im = u.chunk(2, dim=-1)
        recurrent = torch.complex(*state) @ self.recurrent_weight.T
        return complex_mod_relu(u_re + recurrent.real, u_im + recurrent.imag, self.bias)
