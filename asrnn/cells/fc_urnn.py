"""Define the full-capacity uRNN: its complex recurrent matrix may be any unitary one."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.fourier_unitary import draw_angles, draw_reflections, fourier_unitary
from asrnn.cells.parts.modrelu import complex_mod_relu
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.orthogonal import exponential, skew_hermitian
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.modrelu import ComplexModReLU


class FCURNN(ComplexCell):
    r"""The full-capacity unitary RNN, with N complex units: its matrix may be any unitary one.

    .. math::
        h_t = \mathrm{modReLU}(W h_{t-1} + V x_t; b), \qquad W = W_0 \exp(A), \qquad A = -A^H

    Source: Wisdom et al., NeurIPS 2016, arXiv 1611.00035.

    The authors move W along the unitary group by a special update, with its own learning rate. Here A is free and any
    optimiser learns it: the same cell, learnt on another path. The initialisation is theirs: W_0, which is fixed, is a
    random matrix of the uRNN's family (:func:`asrnn.cells.parts.fourier_unitary.fourier_unitary`), A is 0, and V, b and
    the learnt h_0 are the uRNN's.

    Args:
        input_size: the input size I.
        hidden_size: N, the number of complex units.

    Shapes: ``weight_ih`` V ``[2 N, I]``, ``weight_hh`` the real numbers from which A is built ``[N, N]``
    (:func:`asrnn.cells.parts.orthogonal.skew_hermitian`), ``bias`` b ``[N]``, ``initial_h`` h_0 ``[2 N]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "unitary"
    paper: ClassVar[str] = "Wisdom et al., NeurIPS 2016, arXiv 1611.00035"
    year: ClassVar[int] = 2016
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)
    recurrence_class: ClassVar[type[Recurrence]] = ComplexModReLU

    base: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, learn_initial=True)
        self.weight_hh = nn.Parameter(torch.zeros(hidden_size, hidden_size))
        with torch.no_grad():
            W_0 = fourier_unitary(draw_angles(hidden_size), draw_reflections(hidden_size), torch.randperm(hidden_size))
        self.register_buffer("base", torch.view_as_real(W_0))

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The unitary matrix W, complex, ``[N, N]``."""
        return torch.view_as_complex(self.base) @ exponential(skew_hermitian(self.weight_hh))

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 2 N]``, the real and imaginary parts of h ``[B, N]`` each."""
        u_re, u_im = u.chunk(2, dim=-1)
        recurrent = torch.complex(*state) @ self.recurrent_weight.T
        return complex_mod_relu(u_re + recurrent.real, u_im + recurrent.imag, self.bias)
