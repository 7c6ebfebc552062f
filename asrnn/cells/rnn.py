"""Define the vanilla RNN with torch's parameters."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.recurrent_cell import State
from asrnn.cells.parts.torch_layer import TorchLayerCell
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.vanilla import TanhRNN


class RNN(TorchLayerCell):
    r"""The vanilla RNN.

    .. math::
        h_t = \tanh(W h_{t-1} + b_{hh} + V x_t + b_{ih})

    Source: Elman, Cognitive Science 14, 1990, as ``torch.nn.RNN`` computes it, with torch's two biases.

    The initialisation is that of Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).

    Shapes: those of ``torch.nn.RNN``, in ``layer``: V ``[H, I]``, W ``[H, H]``, b_ih and b_hh ``[H]``.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "vanilla"
    paper: ClassVar[str] = "Elman, Cognitive Science 14, 1990"
    year: ClassVar[int] = 1990
    layer_class = nn.RNN
    recurrence_class: ClassVar[type[Recurrence]] = TanhRNN

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (torch.tanh(u + self.recur(h)),)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, the sum of the biases, the state and W."""
        V, W, b_ih, b_hh = self.layer.all_weights[0]
        return Operands(x, V, b_ih + b_hh, state, (W,))
