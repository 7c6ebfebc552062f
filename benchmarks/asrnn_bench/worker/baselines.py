"""Define the two baselines of every task, which are not recurrent: chance and logistic regression."""

import torch
from torch import Tensor, nn


class Chance(nn.Module):
    """Predict the most frequent class of the training set for every sequence: [B, T, I] -> [B, C].

    Args:
        labels: the labels of the training set, [N].
        num_classes: C.
    """

    scan_backend = "none"

    def __init__(self, labels: Tensor, num_classes: int) -> None:
        super().__init__()
        counts = torch.bincount(labels, minlength=num_classes).float()
        self.register_buffer("logits", ((counts + 1) / (counts + 1).sum()).log())
        self.logits: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the same logits for every sequence."""
        return self.logits.expand(x.shape[0], -1)

    def num_parameters(self) -> int:
        """Nothing is trained."""
        return 0

    def num_recurrent_parameters(self) -> int:
        """Nothing is recurrent."""
        return 0


class LogisticRegression(nn.Module):
    """Multinomial logistic regression on the raw sequence: softmax(W vec(x) + b), [B, T, I] -> [B, C].

    W starts at zero. The problem is convex, so the start does not matter for the optimum.
    """

    scan_backend = "none"

    def __init__(self, sequence_length: int, input_size: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(sequence_length * input_size, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.linear(x.flatten(1).contiguous())  # one layout, for equal bits
        return logits

    def num_parameters(self) -> int:
        """Return the size of W and b."""
        return sum(parameter.numel() for parameter in self.parameters())

    def num_recurrent_parameters(self) -> int:
        """Nothing is recurrent."""
        return 0
