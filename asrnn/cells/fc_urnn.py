"""The full-capacity uRNN: a complex recurrent matrix that may be any unitary one."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.once_a_scan import once_a_scan
from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.fourier_unitary import draw_angles, draw_reflections, fourier_unitary
from asrnn.cells.parts.orthogonal import exponential, skew_hermitian


class FCURNN(ComplexCell):
    """The full-capacity uRNN, with N complex units.

    h_t = modReLU(W h_{t-1} + V x_t; b),   W = W_0 exp(A),   A = -A^H

    Wisdom et al., NeurIPS 2016, arXiv 1611.00035. They move W along the unitary group by an update of its own, with its
    own learning rate; here A is free and learnt by any optimiser, which is the same cell on another path. It starts as
    theirs does: W_0, which stays, is a random matrix of the uRNN's family
    (:func:`asrnn.cells.parts.fourier_unitary.fourier_unitary`), A is 0, and V, b and the learnt h_0 are the uRNN's.

    Args:
        input_size: I.
        hidden_size: N, the number of complex units.

    Shapes: ``weight_ih`` V ``[2 N, I]``, ``weight_hh`` the numbers that A is made of ``[N, N]``
    (:func:`asrnn.cells.parts.orthogonal.skew_hermitian`), ``bias`` b ``[N]``, ``initial_h`` h_0 ``[2 N]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "unitary"
    paper: ClassVar[str] = "Wisdom et al., NeurIPS 2016, arXiv 1611.00035"
    year: ClassVar[int] = 2016
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)

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
