"""Define the IndRNN: a vanilla RNN in which each unit sees only itself, through one bounded weight."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import one_of, positive
from asrnn.cells.parts.initialization import narrow_input_weight, zero_bias
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.vanilla import IndependentLeakyReluRNN, IndependentTanhRNN
from asrnn.shapes import positive_size

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


class IndRNN(FusedCell):
    r"""One layer of the independently recurrent neural network: each unit sees only itself.

    .. math::
        h_t = f(u \circ h_{t-1} + V x_t + b), \qquad u = U \tanh(v), \qquad U = \mathrm{mag}^{1/\mathrm{num\_steps}}

    Source: Li et al., CVPR 2018, arXiv 1803.04831.

    As the modulus of u is below U, no gradient grows by more than ``mag`` over ``num_steps`` steps. The authors clamp u
    after each step of the optimiser. Here u is a smooth function of the free v, so that no gradient is cut off at the
    bound: the same cell, learnt on another path. Units meet only in the input of a further layer, and the published
    results are of six layers with batch normalisation. The default bound is the authors' for pixel MNIST. The
    initialisation is that of their code: u from U(0, U), V from U(-sqrt(6/(65 I)), sqrt(6/(65 I))), b 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        mag: by how much a gradient may grow over ``num_steps`` steps, above 0.
        num_steps: the length of the sequences, at least 1.
        activation: f, ``relu`` or ``tanh``.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` v ``[H]``, ``bias`` b ``[H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "elementwise"
    paper: ClassVar[str] = "Li et al., CVPR 2018, arXiv 1803.04831"
    year: ClassVar[int] = 2018
    recurrence_class: ClassVar[type[Recurrence]] = IndependentLeakyReluRNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        mag: float = 5.0,
        num_steps: int = 784,
        activation: str = "relu",
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.bound: float = positive("mag", mag) ** (1 / positive_size("num_steps", num_steps))
        self.activation = one_of("activation", activation, _ACTIVATIONS)
        self.weight_ih = narrow_input_weight(hidden_size, input_size)
        self.weight_hh = nn.Parameter(torch.atanh(torch.rand(hidden_size)))
        self.bias = zero_bias(hidden_size)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The weights u of the units towards themselves, ``[H]``."""
        return self.bound * torch.tanh(self.weight_hh)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u``, which is not the equation's, and h ``[B, H]``."""
        (h,) = state
        return (_ACTIVATIONS[self.activation](u + self.recurrent_weight * h),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence of the activation."""
        return IndependentLeakyReluRNN(0.0) if self.activation == "relu" else IndependentTanhRNN()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state, and the vector u."""
        return Operands(x, self.weight_ih, self.bias, state, vectors=(self.recurrent_weight,))
