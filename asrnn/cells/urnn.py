"""The unitary evolution RNN: a complex unitary recurrent matrix of a restricted family, with 7 N parameters."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.once_a_scan import once_a_scan
from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.fourier_unitary import draw_angles, draw_reflections, fourier_unitary


class URNN(ComplexCell):
    """The uRNN, with N complex units.

    h_t = modReLU(W h_{t-1} + V x_t; b),   W = D_3 R_2 F^-1 D_2 P R_1 F D_1

    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464; the factors are explained where they are multiplied,
    :func:`asrnn.cells.parts.fourier_unitary.fourier_unitary`. W is built once a scan and not applied factor by
    factor: one product with it takes less time up to about a thousand units. It starts as their code does, with random
    D_k, R_k, V, b and learnt h_0; the permutation P is drawn once and stays.

    Args:
        input_size: I.
        hidden_size: N, the number of complex units.

    Shapes: ``weight_ih`` V ``[2 N, I]``, ``angles`` of D_1 to D_3 ``[3, N]``, ``reflections`` v_1 and v_2
    ``[2, N, 2]``, ``bias`` b ``[N]``, ``initial_h`` h_0 ``[2 N]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "unitary"
    paper: ClassVar[str] = "Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464"
    year: ClassVar[int] = 2016

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
