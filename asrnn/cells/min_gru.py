"""Define the minGRU: a GRU whose gate and candidate do not see the state."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.parts.linear_gated import LinearGatedCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.linear_gated import MinGRUPositive, MinGRURecurrence


class MinGRU(LinearGatedCell):
    r"""The minimal gated recurrent unit: its gate and its candidate see only the input.

    .. math::
        h_t &= (1 - z_t) \circ h_{t-1} + z_t \circ g(V_h x_t + b_h), \qquad z_t = \sigma(V_z x_t + b_z) \\
        g(u) &= u + \tfrac12 \;\text{for}\; u \ge 0, \qquad \sigma(u) \;\text{for}\; u < 0

    Source: Feng et al., 2024, arXiv 2410.01201.

    The paper computes the positive states of this form through their logarithms. The direct recurrence is as exact, and
    its state may start from 0 or from any other number. The gate does not see the state, so one layer cannot choose
    what to forget by what it remembers; the paper stacks several layers, with normalisation and skips. The initial V is
    from N(0, 1/I), and biases start at 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        positive: pass the candidate through g. Without g the candidate is V_h x_t + b_h, which is another function: the
            paper's form without logarithms.

    Shapes: ``weight_ih`` the rows of V_z and V_h ``[2 H, I]``, ``bias`` in the same order ``[2 H]``.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "linear"
    paper: ClassVar[str] = "Feng et al., 2024, arXiv 2410.01201"
    year: ClassVar[int] = 2024
    num_rows: ClassVar[int] = 2
    recurrence_class: ClassVar[type[Recurrence]] = MinGRUPositive
    without_g: ClassVar[type[Recurrence]] = MinGRURecurrence
    scan_in_parallel = LinearGatedCell.scan_in_parallel  # named again, because it computes the step below

    def coefficients(self, *u: Tensor) -> tuple[Tensor, Tensor]:
        """Compute 1 - z and z * g(V_h x + b_h), each ``[..., H]``."""
        u_z, u_h = u
        z = torch.sigmoid(u_z)
        return 1 - z, z * self.candidate(u_h)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 2 H]`` and h ``[B, H]``."""
        (h,) = state
        kept, added = self.coefficients(*u.chunk(2, dim=-1))
        return (kept * h + added,)
