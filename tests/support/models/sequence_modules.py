"""Define a module that is no cell, from which tests derive others."""

import torch
from torch import nn

SIZES = {"input_size": 3, "hidden_size": 5, "num_outputs": 4}


class SequenceModule(nn.Module):
    """Maps [B, T, I] to [B, T, H] by a product with ones; subclasses return it in other ways."""

    def __init__(self, input_size, hidden_size, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.ones(input_size, hidden_size))

    def forward(self, x):
        return x @ self.weight
