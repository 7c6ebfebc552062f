"""The LSTM, scanned by torch's own kernels."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.base import State
from asrnn.cells.torch_layer import TorchLayerCell


class LSTM(TorchLayerCell):
    """The long short-term memory with a forget gate.

    (i, f, g, o) = (sigmoid, sigmoid, tanh, sigmoid)(W h_{t-1} + b_hh + V x_t + b_ih)

    c_t = f * c_{t-1} + i * g,   h_t = o * tanh(c_t)

    Hochreiter and Schmidhuber, Neural Computation 9, 1997; Gers et al., Neural Computation 12, 2000; as
    ``torch.nn.LSTM`` computes it, with torch's two biases and its order of the gates' rows. It starts as in
    Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689, with the forget gate's bias at 1 (Jozefowicz et
    al., ICML 2015): torch adds the two biases, so ``bias_ih`` holds the 1 and ``bias_hh`` holds 0.

    Args:
        input_size: I.
        hidden_size: H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    version: ClassVar[int] = 1
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Hochreiter and Schmidhuber, Neural Computation 9, 1997"
    year: ClassVar[int] = 1997
    layer_class = nn.LSTM
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
