"""Define the UnICORNN: undamped, independent oscillators with a time step each."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import non_negative, positive
from asrnn.cells.parts.initialization import narrow_input_weight, uniform, zero_bias
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.oscillators import IndependentOscillators


class UnICORNN(FusedCell):
    r"""One layer of the undamped independent controlled oscillatory RNN.

    .. math::
        z_t &= z_{t-1} - \tau \circ \big(\tanh(w \circ y_{t-1} + V x_t + b) + \alpha y_{t-1}\big),
            \qquad \tau = \Delta t \, \sigma(c) \\
        y_t &= y_{t-1} + \tau \circ z_t

    Source: Rusch and Mishra, ICML 2021, arXiv 2103.05487.

    Units meet only in the input of a further layer, so the published results are of three layers. The readout, or the
    next layer, sees y. A step preserves the area dy dz of each unit, so nothing decays. It is stable around 0 while
    tau^2 (alpha + w) < 4. The default hyper-parameters are the authors' for noise-padded CIFAR-10. The initialisation
    is that of their code: w from U(0, 1), c from U(-0.1, 0.1), V from U(-sqrt(6/(65 I)), sqrt(6/(65 I))), b 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        dt: the largest time step that a unit may learn, above 0.
        alpha: the strength with which each unit is pulled back to 0, 0 or above.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` w ``[H]``, ``c`` ``[H]``, ``bias`` b ``[H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Rusch and Mishra, ICML 2021, arXiv 2103.05487"
    year: ClassVar[int] = 2021
    state_names: ClassVar[tuple[str, ...]] = ("y", "z")
    recurrence_class: ClassVar[type[Recurrence]] = IndependentOscillators

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 0.126, alpha: float = 13.0) -> None:
        super().__init__(input_size, hidden_size)
        self.dt = positive("dt", dt)
        self.alpha = non_negative("alpha", alpha)
        self.weight_ih = narrow_input_weight(hidden_size, input_size)
        self.weight_hh = nn.Parameter(torch.rand(hidden_size))
        self.c = uniform(hidden_size, bound=0.1)
        self.bias = zero_bias(hidden_size)

    @once_a_scan
    def tau(self) -> Tensor:
        """Each unit's time step, dt sigmoid(c), ``[H]``."""
        return self.dt * torch.sigmoid(self.c)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Move each oscillator by its tau, ``u``, y and z ``[B, H]``."""
        y, z = state
        z = z - self.tau * (torch.tanh(u + self.weight_hh * y) + self.alpha * y)
        return y + self.tau * z, z

    def recurrence(self) -> Recurrence:
        """Return the oscillators with alpha."""
        return self.recurrence_class(self.alpha)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state, and the vectors w and tau."""
        return Operands(x, self.weight_ih, self.bias, state, vectors=(self.weight_hh, self.tau))
