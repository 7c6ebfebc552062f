"""Weights that start uniform around zero, as the authors of several cells released them."""

import math

import torch
from torch import nn


def uniform(*shape: int, bound: float) -> nn.Parameter:
    """Draw entries U(-bound, bound), in any shape; a linear layer of torch starts so, with bound 1/sqrt(fan-in)."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def narrow_input_weight(rows: int, input_size: int) -> nn.Parameter:
    """Draw V with entries U(-sqrt(6/(65 m)), sqrt(6/(65 m))), ``[rows, m]``.

    It is Kaiming's rule for a leaky ReLU of slope 8, with which IndRNN and UnICORNN were released.
    """
    return uniform(rows, input_size, bound=math.sqrt(6 / (65 * input_size)))
