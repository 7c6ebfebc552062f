"""Define the minLSTM: an LSTM whose gates and candidate do not see the state."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.linear_gated import LinearGatedCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.linear_gated import MinLSTMPositive, MinLSTMRecurrence


class MinLSTM(LinearGatedCell):
    r"""The minimal long short-term memory, with normalised gates that see only the input.

    .. math::
        h_t &= \frac{f_t}{f_t + i_t} \circ h_{t-1} + \frac{i_t}{f_t + i_t} \circ g(V_h x_t + b_h),
            \qquad (f_t, i_t) = \sigma(V_{f,i} x_t + b_{f,i}) \\
        g(u) &= u + \tfrac12 \;\text{for}\; u \ge 0, \qquad \sigma(u) \;\text{for}\; u < 0

    Source: Feng et al., 2024, arXiv 2410.01201.

    The paper computes the positive states of this form through their logarithms. The direct recurrence is as exact, and
    its state may start from 0 or from any other number. The gates are normalised through logarithms, because f + i may
    underflow. The initial V is from N(0, 1/I), and biases start at 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        positive: pass the candidate through g. Without g the candidate is V_h x_t + b_h, which is another function: the
            paper's form without logarithms.

    Shapes: ``weight_ih`` the rows of V_f, V_i and V_h ``[3 H, I]``, ``bias`` in the same order ``[3 H]``.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "linear"
    paper: ClassVar[str] = "Feng et al., 2024, arXiv 2410.01201"
    year: ClassVar[int] = 2024
    num_rows: ClassVar[int] = 3
    recurrence_class: ClassVar[type[Recurrence]] = MinLSTMPositive
    without_g: ClassVar[type[Recurrence]] = MinLSTMRecurrence
    scan_in_parallel = LinearGatedCell.scan_in_parallel  # named again, because it computes the step below

    def coefficients(self, *u: Tensor) -> tuple[Tensor, Tensor]:
        """Compute f / (f + i) and i / (f + i) * g(V_h x + b_h), each ``[..., H]``."""
        u_f, u_i, u_h = u
        odds = F.logsigmoid(u_f) - F.logsigmoid(u_i)
        return torch.sigmoid(odds), torch.sigmoid(-odds) * self.candidate(u_h)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 3 H]`` and h ``[B, H]``."""
        (h,) = state
        kept, added = self.coefficients(*u.chunk(3, dim=-1))
        return (kept * h + added,)
