"""Draw initial weights, as in Appendix C of Chang et al., ICLR 2019, arXiv 1902.09689, or uniform around zero.

Weights from the input are N(0, 1/m) and weights from the state N(0, sigma_w^2/n), both by their variance,
where m is the input size and n the hidden size. Biases are 0, but for an LSTM's forget gate.
"""

import math

import torch
from torch import nn

from asrnn.cells.parts.hyperparameters import non_negative


def input_weight(rows: int, input_size: int) -> nn.Parameter:
    """Draw V with entries N(0, 1/m), ``[rows, m]``."""
    return nn.Parameter(torch.randn(rows, input_size) / math.sqrt(input_size))


def hidden_weight(*shape: int, hidden_size: int, sigma_w: float) -> nn.Parameter:
    """Draw W, or the entries that W is built from, N(0, sigma_w^2/n), in any shape."""
    deviation = non_negative("sigma_w", sigma_w) / math.sqrt(hidden_size)
    return nn.Parameter(deviation * torch.randn(*shape))


def zero_bias(rows: int) -> nn.Parameter:
    """Return a bias of zeros, ``[rows]``."""
    return nn.Parameter(torch.zeros(rows))


@torch.no_grad()
def initialize_torch_layer(layer: nn.RNNBase, sigma_w: float) -> None:
    """Initialise the first layer of ``torch.nn.RNN``, ``LSTM`` or ``GRU`` in place, in the way of the other cells."""
    V, W, b_ih, b_hh = layer.all_weights[0]
    V.copy_(input_weight(*V.shape))
    W.copy_(hidden_weight(*W.shape, hidden_size=layer.hidden_size, sigma_w=sigma_w))
    b_ih.zero_()
    b_hh.zero_()


def uniform(*shape: int, bound: float) -> nn.Parameter:
    """Draw entries U(-bound, bound), in any shape; torch's linear layers use the bound 1/sqrt(fan-in)."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def narrow_input_weight(rows: int, input_size: int) -> nn.Parameter:
    """Draw V with entries U(-sqrt(6/(65 m)), sqrt(6/(65 m))), ``[rows, m]``.

    It is Kaiming's rule for a leaky ReLU of slope 8, which the code of IndRNN and UnICORNN uses.
    """
    return uniform(rows, input_size, bound=math.sqrt(6 / (65 * input_size)))
