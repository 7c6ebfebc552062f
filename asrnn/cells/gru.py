"""The GRU, scanned by torch's own kernels."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.base import State
from asrnn.cells.torch_layer import TorchLayerCell


class GRU(TorchLayerCell):
    """The gated recurrent unit.

    (r, z) = sigmoid(W_{r,z} h_{t-1} + b_{hh} + V_{r,z} x_t + b_{ih})

    n = tanh(r * (W_n h_{t-1} + b_hn) + V_n x_t + b_in),   h_t = (1 - z) * n + z * h_{t-1}

    Cho et al., EMNLP 2014, arXiv 1406.1078, as ``torch.nn.GRU`` computes it: the reset gate r acts on the
    product with W_n, not on h, and the rows of r, z and n are stacked in this order. It starts as in
    Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689.

    Args:
        input_size: I.
        hidden_size: H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    version: ClassVar[int] = 1
    family: ClassVar[str] = "gated"
    paper: ClassVar[str] = "Cho et al., EMNLP 2014, arXiv 1406.1078"
    year: ClassVar[int] = 2014
    layer_class = nn.GRU

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 3 H]`` and h ``[B, H]``."""
        (h,) = state
        u_r, u_z, u_n = u.chunk(3, dim=-1)
        w_r, w_z, w_n = self.recur(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(u_r + w_r), torch.sigmoid(u_z + w_z)
        n = torch.tanh(u_n + r * w_n)
        return ((1 - z) * n + z * h,)
