"""Define the coRNN: a network of driven, damped and coupled oscillators."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import positive
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.oscillators import CoupledOscillators


class CoRNN(FusedCell):
    r"""The coupled oscillatory RNN: y is the position of the oscillators, z their velocity.

    .. math::
        z_t &= z_{t-1} + \Delta t \big(\tanh(W y_{t-1} + W_z z_{t-1} + V x_t + b)
            - \gamma y_{t-1} - \epsilon z_{t-1}\big) \\
        y_t &= y_{t-1} + \Delta t \, z_t

    Source: Rusch and Mishra, ICLR 2021, arXiv 2010.00951, with explicit damping as in the authors' code.

    The readout sees y. Without the tanh, a step is stable if and only if dt^2 gamma + 2 dt epsilon < 4 and dt epsilon <
    2. The default hyper-parameters are the authors' for noise-padded CIFAR-10. The initialisation is that of their code
    for this task, which is that of torch's linear layers: W and W_z from U(-1/sqrt(H), 1/sqrt(H)), V and b from
    U(-1/sqrt(I), 1/sqrt(I)).

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        dt: the time step, above 0.
        gamma: the stiffness of the oscillators, a squared frequency, above 0.
        epsilon: the damping, above 0.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hy`` W and ``weight_hz`` W_z ``[H, H]``, ``bias`` b ``[H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Rusch and Mishra, ICLR 2021, arXiv 2010.00951"
    year: ClassVar[int] = 2021
    state_names: ClassVar[tuple[str, ...]] = ("y", "z")
    recurrence_class: ClassVar[type[Recurrence]] = CoupledOscillators

    def __init__(
        self, input_size: int, hidden_size: int, *, dt: float = 0.034, gamma: float = 1.3, epsilon: float = 12.7
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.dt = positive("dt", dt)
        self.gamma = positive("gamma", gamma)
        self.epsilon = positive("epsilon", epsilon)
        of_input, of_state = 1 / math.sqrt(input_size), 1 / math.sqrt(hidden_size)
        self.weight_ih = uniform(hidden_size, input_size, bound=of_input)
        self.weight_hy = uniform(hidden_size, hidden_size, bound=of_state)
        self.weight_hz = uniform(hidden_size, hidden_size, bound=of_state)
        self.bias = uniform(hidden_size, bound=of_input)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Move the oscillators by dt, ``u``, y and z ``[B, H]``."""
        y, z = state
        force = torch.tanh(u + y @ self.weight_hy.T + z @ self.weight_hz.T)
        z = z + self.dt * (force - self.gamma * y - self.epsilon * z)
        return y + self.dt * z, z

    def recurrence(self) -> Recurrence:
        """Return the oscillators with their constants."""
        return self.recurrence_class(self.dt, self.gamma, self.epsilon)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state, W and W_z."""
        return Operands(x, self.weight_ih, self.bias, state, (self.weight_hy, self.weight_hz))
