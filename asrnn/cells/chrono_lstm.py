"""Define the LSTM with chrono initialisation: at first its gates forget over the whole sequence."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.lstm import LSTM
from asrnn.cells.parts.hyperparameters import positive
from asrnn.errors import ModelError


def forget_bias(quantile: Tensor, t_max: float) -> Tensor:
    """Compute log(1 + q (t_max - 2)): for q from U(0, 1), the logarithm of a draw from U(1, t_max - 1)."""
    return torch.log(1 + quantile * (t_max - 2))


class ChronoLSTM(LSTM):
    r"""The LSTM with chrono initialisation, whose ``step`` is that of :class:`asrnn.cells.lstm.LSTM`.

    .. math::
        b_f = \log \, U(1, t_{max} - 1), \qquad b_i = -b_f \\
        c_t = f \circ c_{t-1} + i \circ g, \qquad h_t = o \circ \tanh(c_t)

    Source: Tallec and Ollivier, ICLR 2018, arXiv 1804.11188.

    Without input, a unit forgets over 1/(1 - sigmoid(b_f)) steps. At the start this time is uniform between 2 and
    t_max. torch adds two biases, so ``bias_ih`` holds the drawn ones and ``bias_hh`` holds 0. All other biases are 0,
    and the initial weights are those of the LSTM.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        t_max: how many steps dependencies may span, at least 3. Use the length of the sequences if no more is known.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).

    Shapes: those of ``torch.nn.LSTM``, in ``layer``: V ``[4 H, I]``, W ``[4 H, H]``, b_ih and b_hh ``[4 H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Tallec and Ollivier, ICLR 2018, arXiv 1804.11188"
    year: ClassVar[int] = 2018

    def __init__(self, input_size: int, hidden_size: int, *, t_max: float = 1000, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, sigma_w=sigma_w)
        self.t_max = positive("t_max", t_max)
        if t_max < 3:
            raise ModelError(f"t_max must be at least 3, or there is no range to draw from; it is {t_max!r}")
        _, _, b_ih, _ = self.layer.all_weights[0]
        b_f = forget_bias(torch.rand(hidden_size), t_max)
        with torch.no_grad():
            b_ih.zero_()
            b_ih[:hidden_size] = -b_f
            b_ih[hidden_size : 2 * hidden_size] = b_f
