"""The vanilla RNN, scanned by torch's own kernels."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.base import State
from asrnn.cells.torch_layer import TorchLayerCell


class RNN(TorchLayerCell):
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
    family: ClassVar[str] = "vanilla"
    paper: ClassVar[str] = "Elman, Cognitive Science 14, 1990"
    year: ClassVar[int] = 1990
    layer_class = nn.RNN

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (torch.tanh(u + self.recur(h)),)
