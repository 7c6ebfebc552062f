"""Define the Legendre memory unit: a linear memory that stores the recent input as polynomials."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import one_of, positive
from asrnn.cells.parts.initialization import uniform
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.vanilla import PartlyTanhRNN
from asrnn.shapes import positive_size


def legendre_memory(order: int, theta: float) -> tuple[Tensor, Tensor]:
    """Solve theta m' = A m + B u for one step with a constant u, in float64.

    A_ij = (2i + 1) (-1 if i < j else (-1)^(i-j+1)),   B_i = (2i + 1) (-1)^i,   i, j = 0 to d - 1

    Returns:
        exp(A/theta) ``[d, d]`` and A^-1 (exp(A/theta) - I) B ``[d]``.
    """
    i = torch.arange(order, dtype=torch.float64)
    signs = 1 - 2 * (i % 2)
    # A step of (m, u), with u kept as it is, needs no inverse of A.
    generator = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    generator[:-1, :-1] = torch.where(i[:, None] < i, -1.0, -signs[:, None] * signs)
    generator[:-1, -1] = signs
    generator[:-1] *= (2 * i[:, None] + 1) / theta
    solution = torch.linalg.matrix_exp(generator)
    return solution[:-1, :-1].contiguous(), solution[:-1, -1].contiguous()


class LMU(FusedCell):
    r"""The Legendre memory unit: a linear memory of the last theta steps, and a nonlinear state.

    .. math::
        u_t &= e_x \cdot x_t + e_h \cdot h_{t-1} + e_m \cdot m_{t-1} \\
        m_t &= A m_{t-1} + B u_t \\
        h_t &= \tanh(W_x x_t + W_h h_{t-1} + W_m m_t)

    Source: Voelker, Kajic and Eliasmith, NeurIPS 2019.

    m holds the last theta steps of the one number u as d Legendre polynomials. A and B discretise the ODE of m exactly
    and are not learnt. The defaults are those of the published model of permuted MNIST, which has 212 units: the order
    follows the window, not the hidden size. There is no bias.

    A fused scan takes (h, m) as one state of H + d units, whose first H pass through tanh. With u_t and m_t inserted,
    every equation is one in x_t, h_{t-1} and m_{t-1}.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        order: d, the number of polynomials.
        theta: the length of the window in steps, above 0. Use the length of the sequence if all of it matters.
        init: how weights start. ``psmnist``, as in the published model of permuted MNIST: e_x is 1, W_m is Glorot
            normal, and the others are 0. ``general``, as elsewhere in the paper: e_x and e_h are uniform of variance
            1/I and 1/H, e_m is 0, and the matrices are Glorot normal.

    Shapes: ``e_x`` ``[I]``, ``e_h`` ``[H]``, ``e_m`` ``[d]``; ``weight_ih`` W_x ``[H, I]``, ``weight_hh`` W_h
    ``[H, H]``, ``weight_mh`` W_m ``[H, d]``; the constants ``A`` ``[d, d]`` and ``B`` ``[d]``, float64 until the cell
    is cast. The state is h ``[B, H]`` and m ``[B, d]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "memory"
    paper: ClassVar[str] = "Voelker, Kajic and Eliasmith, NeurIPS 2019"
    year: ClassVar[int] = 2019
    state_names: ClassVar[tuple[str, ...]] = ("h", "m")
    recurrence_class: ClassVar[type[Recurrence]] = PartlyTanhRNN
    A: Tensor
    B: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, *, order: int = 256, theta: float = 784.0, init: str = "psmnist"
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.order = positive_size("order", order)
        self.theta = positive("theta", theta)
        general = one_of("init", init, ("psmnist", "general")) == "general"
        self.e_x = (
            uniform(input_size, bound=math.sqrt(3 / input_size)) if general else nn.Parameter(torch.ones(input_size))
        )
        self.e_h = uniform(hidden_size, bound=math.sqrt(3 / hidden_size) if general else 0.0)
        self.e_m = nn.Parameter(torch.zeros(order))
        self.weight_ih = nn.Parameter(torch.zeros(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.zeros(hidden_size, hidden_size))
        self.weight_mh = nn.Parameter(torch.zeros(hidden_size, order))
        for weight in (self.weight_ih, self.weight_hh, self.weight_mh) if general else (self.weight_mh,):
            nn.init.xavier_normal_(weight)
        A, B = legendre_memory(order, self.theta)
        self.register_buffer("A", A)
        self.register_buffer("B", B)

    @once_a_scan
    def memory(self) -> tuple[Tensor, Tensor]:
        """A and B in the weights' precision."""
        return self.A.to(self.e_m.dtype), self.B.to(self.e_m.dtype)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros, h ``[B, H]`` and m ``[B, d]``."""
        return self.e_m.new_zeros(batch_size, self.hidden_size), self.e_m.new_zeros(batch_size, self.order)

    def project(self, x: Tensor) -> Tensor:
        """Compute e_x . x and W_x x, ``[..., I]`` to ``[..., 1 + H]``."""
        return F.linear(x, torch.cat([self.e_x[None], self.weight_ih]))

    def step(self, u: Tensor, state: State) -> State:
        """Advance the memory, and h by the new memory, ``u`` ``[B, 1 + H]``, h ``[B, H]`` and m ``[B, d]``."""
        h, m = state
        A, B = self.memory
        e, v = torch.split(u, [1, self.hidden_size], dim=-1)
        m = m @ A.T + (e + (h @ self.e_h + m @ self.e_m)[:, None]) * B
        return torch.tanh(v + h @ self.weight_hh.T + m @ self.weight_mh.T), m

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, its weights, the state (h, m) and its weights, and the mask of the units with tanh."""
        A, B = self.memory
        with torch.autocast(x.device.type, enabled=False):
            # The rows of m, for x_t and for (h, m); then those of h, which sees the new m.
            of_x = torch.outer(B, self.e_x)
            of_state = torch.cat([torch.outer(B, self.e_h), A + torch.outer(B, self.e_m)], dim=1)
            W_x = torch.cat([self.weight_ih + self.weight_mh @ of_x, of_x])
            W = torch.cat([F.pad(self.weight_hh, (0, self.order)) + self.weight_mh @ of_state, of_state])
        squashed = F.pad(B.new_ones(self.hidden_size), (0, self.order))
        return Operands(x, W_x, squashed.new_zeros(len(squashed)), (torch.cat(state, dim=1),), (W,), (squashed,))

    def from_scan(self, x: Tensor, sequence: Tensor, last: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Take h and m apart; see :meth:`asrnn.cells.parts.fused.FusedCell.from_scan`."""
        h, m = torch.split(last[0], [self.hidden_size, self.order], dim=1)
        return sequence[..., : self.hidden_size] if return_sequence else h, (h, m)
