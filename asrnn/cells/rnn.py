"""The vanilla RNN, scanned by torch's own kernels."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.initialization import initialize_torch_layer


class RNN(RecurrentCell):
    """The vanilla RNN.

    h_t = tanh(W h_{t-1} + b_hh + V x_t + b_ih)

    Elman, Cognitive Science 14, 1990, as ``torch.nn.RNN`` computes it, with torch's two biases. It starts as
    in Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689.

    Args:
        input_size: I.
        hidden_size: H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    version: ClassVar[int] = 1
    scan_backend = "torch"

    def __init__(self, input_size: int, hidden_size: int, *, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.RNN(input_size, hidden_size, batch_first=True)
        initialize_torch_layer(self.layer, sigma_w)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b_ih, ``[..., I]`` to ``[..., H]``."""
        V, _, b_ih, _ = self.layer.all_weights[0]
        return F.linear(x, V, b_ih)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        _, W, _, b_hh = self.layer.all_weights[0]
        return (torch.tanh(u + F.linear(h, W, b_hh)),)

    def scan(self, x: Tensor, state: State | None = None, *, return_sequence: bool = False) -> tuple[Tensor, State]:
        """Run ``torch.nn.RNN``; see :meth:`RecurrentCell.scan`."""
        (h,) = self._state_for(x, state)
        sequence, h = self.layer(x, h.unsqueeze(0))
        return sequence if return_sequence else h[0], (h[0],)
