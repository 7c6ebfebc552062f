"""Share what cells of complex modReLU units have in common; each complex number is stored as two real ones."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.modrelu import ComplexModReLU


class ComplexCell(FusedCell):
    """h_t = modReLU(W h_{t-1} + V x_t; b), with h, W and V complex, b real, and W the cell's ``recurrent_weight``.

    The readout sees the real parts of h and then its imaginary parts, ``[B, 2 N]``. The initialisation is that of
    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464: V from U(-sqrt(6/(I + 2N)), sqrt(6/(I + 2N))), b from
    U(-0.01, 0.01), and a learnt h_0 from U(-sqrt(3/(2N)), sqrt(3/(2N))).

    Args:
        input_size: the input size I.
        hidden_size: N, the number of complex units.
        learn_initial: learn h_0; otherwise it is 0.

    Shapes: ``weight_ih`` the real rows of V and then the imaginary ones ``[2 N, I]``, ``bias`` b ``[N]``, ``initial_h``
    the real parts of h_0 and then the imaginary ones ``[2 N]``.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h_re", "h_im")
    recurrence_class: ClassVar[type[Recurrence]] = ComplexModReLU

    def __init__(self, input_size: int, hidden_size: int, *, learn_initial: bool) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = uniform(2 * hidden_size, input_size, bound=math.sqrt(6 / (input_size + 2 * hidden_size)))
        self.bias = uniform(hidden_size, bound=0.01)
        self.initial_h = uniform(2 * hidden_size, bound=math.sqrt(3 / (2 * hidden_size))) if learn_initial else None

    @property
    @abstractmethod
    def recurrent_weight(self) -> Tensor:
        """The complex matrix W, ``[N, N]``."""

    @property
    def output_size(self) -> int:
        """The size of the output, 2 N."""
        return 2 * self.hidden_size

    def initial_state(self, batch_size: int) -> State:
        """Return the learnt h_0 for each sample, or zeros, ``[B, N]`` each."""
        if self.initial_h is None:
            return super().initial_state(batch_size)
        return self.initial_h.expand(batch_size, -1).chunk(2, dim=-1)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x, ``[..., I]`` to ``[..., 2 N]``."""
        return F.linear(x, self.weight_ih)

    def output(self, state: State) -> Tensor:
        """Return the real parts of h and then its imaginary parts, ``[B, 2 N]``."""
        return torch.cat(state, dim=-1)

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the state, the parts of W, and the vector b."""
        W = self.recurrent_weight
        no_bias = self.weight_ih.new_zeros(len(self.weight_ih))
        return Operands(x, self.weight_ih, no_bias, state, (W.real, W.imag, -W.imag), (self.bias,))
