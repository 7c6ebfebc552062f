"""Define the GRU with torch's parameters."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.recurrent_cell import State
from asrnn.cells.parts.torch_layer import TorchLayerCell
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.gru import GatedRecurrentUnit


class GRU(TorchLayerCell):
    r"""The gated recurrent unit.

    .. math::
        (r, z) &= \sigma(W_{r,z} h_{t-1} + b_{hh} + V_{r,z} x_t + b_{ih}) \\
        n &= \tanh\big(r \circ (W_n h_{t-1} + b_{hn}) + V_n x_t + b_{in}\big) \\
        h_t &= (1 - z) \circ n + z \circ h_{t-1}

    Source: Cho et al., EMNLP 2014, arXiv 1406.1078, as ``torch.nn.GRU`` computes it.

    The reset gate r acts on the product with W_n, not on h. The rows are stacked in the order r, z, n. The
    initialisation is that of Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).

    Shapes: those of ``torch.nn.GRU``, in ``layer``: V ``[3 H, I]``, W ``[3 H, H]``, b_ih and b_hh ``[3 H]``.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Cho et al., EMNLP 2014, arXiv 1406.1078"
    year: ClassVar[int] = 2014
    layer_class = nn.GRU
    recurrence_class: ClassVar[type[Recurrence]] = GatedRecurrentUnit

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 3 H]`` and h ``[B, H]``."""
        (h,) = state
        u_r, u_z, u_n = u.chunk(3, dim=-1)
        w_r, w_z, w_n = self.recur(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(u_r + w_r), torch.sigmoid(u_z + w_z)
        n = torch.tanh(u_n + r * w_n)
        return ((1 - z) * n + z * h,)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the biases that are added to V x_t, the state, W_r, W_z and W_n, and b_hn."""
        V, W, b_ih, b_hh = self.layer.all_weights[0]
        b_hr, b_hz, b_hn = b_hh.chunk(3)
        bias = b_ih + torch.cat([b_hr, b_hz, torch.zeros_like(b_hn)])
        return Operands(x, V, bias, state, W.chunk(3), (b_hn,))
