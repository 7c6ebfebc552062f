"""The GRU, scanned by torch's own kernels."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.initialization import initialize_torch_layer


class GRU(RecurrentCell):
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
    scan_backend = "torch"

    def __init__(self, input_size: int, hidden_size: int, *, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.GRU(input_size, hidden_size, batch_first=True)
        initialize_torch_layer(self.layer, sigma_w)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b_ih, ``[..., I]`` to ``[..., 3 H]``."""
        V, _, b_ih, _ = self.layer.all_weights[0]
        return F.linear(x, V, b_ih)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 3 H]`` and h ``[B, H]``."""
        (h,) = state
        _, W, _, b_hh = self.layer.all_weights[0]
        u_r, u_z, u_n = u.chunk(3, dim=-1)
        w_r, w_z, w_n = F.linear(h, W, b_hh).chunk(3, dim=-1)
        r, z = torch.sigmoid(u_r + w_r), torch.sigmoid(u_z + w_z)
        n = torch.tanh(u_n + r * w_n)
        return ((1 - z) * n + z * h,)

    def scan(self, x: Tensor, state: State | None = None, *, return_sequence: bool = False) -> tuple[Tensor, State]:
        """Run ``torch.nn.GRU``; see :meth:`RecurrentCell.scan`."""
        (h,) = self._state_for(x, state)
        sequence, h = self.layer(x, h.unsqueeze(0))
        return sequence if return_sequence else h[0], (h[0],)
