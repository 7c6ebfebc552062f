"""Define the LSTM with torch's parameters."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.recurrent_cell import State
from asrnn.cells.parts.torch_layer import TorchLayerCell
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.lstm import LongShortTermMemory

# By size and processor alone, so that a job that is resumed runs as it began. ms a training step in C and by oneDNN, on
# one thread of an AMD EPYC, T = 784, I = 1: with AVX-512 51 and 54 at B = 64 with 64 units, 95 and 98 with 96, 301
# and 259 at B = 128 with 128 units; with AVX2 alone 65 and 96, 123 and 165, 413 and 492.
_MOST_UNITS_IN_C = 96


class LSTM(TorchLayerCell):
    r"""The long short-term memory with a forget gate.

    .. math::
        (i, f, o) &= \sigma(W_{i,f,o} h_{t-1} + b_{hh} + V_{i,f,o} x_t + b_{ih}) \\
        g &= \tanh(W_g h_{t-1} + b_{hh} + V_g x_t + b_{ih}) \\
        c_t &= f \circ c_{t-1} + i \circ g, \qquad h_t = o \circ \tanh(c_t)

    Source: Hochreiter and Schmidhuber, Neural Computation 9, 1997, and Gers et al., Neural Computation 12, 2000, as
    ``torch.nn.LSTM`` computes it.

    There are two biases, as in torch, and the rows are stacked in torch's order: i, f, g, o. The initialisation is that
    of Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689, with the forget gate's bias at 1 (Jozefowicz et al.,
    ICML 2015). torch adds the two biases, so ``bias_ih`` holds the 1 and ``bias_hh`` holds 0.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).

    Shapes: those of ``torch.nn.LSTM``, in ``layer``: V ``[4 H, I]``, W ``[4 H, H]``, b_ih and b_hh ``[4 H]``.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Hochreiter and Schmidhuber, Neural Computation 9, 1997"
    year: ClassVar[int] = 1997
    layer_class = nn.LSTM
    recurrence_class: ClassVar[type[Recurrence]] = LongShortTermMemory
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int, *, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, sigma_w=sigma_w)
        _, _, b_ih, _ = self.layer.all_weights[0]
        with torch.no_grad():
            b_ih[hidden_size : 2 * hidden_size] = 1.0

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 4 H]``, h and c ``[B, H]``."""
        h, c = state
        i, f, g, o = (u + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def layer_is_faster(self) -> bool:
        """Return whether torch's kernel is, which is oneDNN's: with AVX-512 and more than 96 units."""
        return (
            self.hidden_size > _MOST_UNITS_IN_C
            and torch.backends.cpu.get_cpu_capability() == "AVX512"
            and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        )

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the sum of the biases, the state, and the four W of i, f, g and o."""
        V, W, b_ih, b_hh = self.layer.all_weights[0]
        return Operands(x, V, b_ih + b_hh, state, W.chunk(4))
