"""Define Long Expressive Memory: two coupled states with learnt time steps that depend on the input."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import positive
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.errors import ModelError
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.lem import LongExpressiveMemory


class LEM(FusedCell):
    r"""Long Expressive Memory: two coupled states with learnt time steps.

    .. math::
        D_k &= \Delta t \, \sigma(W_k y_{t-1} + V_k x_t + b_k), \qquad k = 1, 2 \\
        z_t &= (1 - D_1) \circ z_{t-1} + D_1 \circ \tanh(W_z y_{t-1} + V_z x_t + b_z) \\
        y_t &= (1 - D_2) \circ y_{t-1} + D_2 \circ \tanh(W_y z_t + V_y x_t + b_y)

    Source: Rusch, Mishra, Erichson and Mahoney, ICLR 2022, arXiv 2110.04744.

    The new z enters y, and the readout sees y. Each step is a convex combination, so y and z stay between -1 and 1.
    Each b is the sum of two biases, as in the authors' code, whose published parameter counts include both. They are
    added once a scan. The default dt is the authors' for noise-padded CIFAR-10. As in their code, all weights and
    biases start from U(-1/sqrt(H), 1/sqrt(H)).

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        dt: the largest time step that may be learnt, above 0 and at most 1.

    Shapes: ``weight_ih`` the rows of V_1, V_2, V_z, V_y ``[4 H, I]``; ``weight_1`` W_1, ``weight_2`` W_2, ``weight_z``
    W_z, ``weight_y`` W_y ``[H, H]``; ``bias_ih`` and ``bias_hh``, in the same order, ``[4 H]``.

    Raises:
        ModelError: dt is not in its range.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Rusch et al., ICLR 2022, arXiv 2110.04744"
    year: ClassVar[int] = 2022
    state_names: ClassVar[tuple[str, ...]] = ("y", "z")
    recurrence_class: ClassVar[type[Recurrence]] = LongExpressiveMemory

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 0.44) -> None:
        super().__init__(input_size, hidden_size)
        self.dt = positive("dt", dt)
        if dt > 1:
            raise ModelError(f"dt must be at most 1, so that a step is a convex combination; it is {dt!r}")
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = uniform(4 * hidden_size, input_size, bound=bound)
        self.weight_1 = uniform(hidden_size, hidden_size, bound=bound)
        self.weight_2 = uniform(hidden_size, hidden_size, bound=bound)
        self.weight_z = uniform(hidden_size, hidden_size, bound=bound)
        self.weight_y = uniform(hidden_size, hidden_size, bound=bound)
        self.bias_ih = uniform(4 * hidden_size, bound=bound)
        self.bias_hh = uniform(4 * hidden_size, bound=bound)

    @once_a_scan
    def bias(self) -> Tensor:
        """The four b, ``[4 H]``."""
        return self.bias_ih + self.bias_hh

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., 4 H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Advance z, and y by the new z, ``u`` ``[B, 4 H]``, y and z ``[B, H]``."""
        y, z = state
        u_1, u_2, u_z, u_y = u.chunk(4, dim=-1)
        d_1 = self.dt * torch.sigmoid(u_1 + y @ self.weight_1.T)
        d_2 = self.dt * torch.sigmoid(u_2 + y @ self.weight_2.T)
        z = (1 - d_1) * z + d_1 * torch.tanh(u_z + y @ self.weight_z.T)
        return (1 - d_2) * y + d_2 * torch.tanh(u_y + z @ self.weight_y.T), z

    def recurrence(self) -> Recurrence:
        """Return the recurrence with dt."""
        return self.recurrence_class(self.dt)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, the rows of V and b, the state, and the four W."""
        weights = (self.weight_1, self.weight_2, self.weight_z, self.weight_y)
        return Operands(x, self.weight_ih, self.bias, state, weights)
