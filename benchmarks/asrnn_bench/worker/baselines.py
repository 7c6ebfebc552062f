"""The two rows that every task has and that train nothing recurrent: what a recurrent model has to beat."""

import torch
from torch import Tensor, nn


class Chance(nn.Module):
    """Guess the most frequent class of the training set, whatever the sequence: [B, T, I] -> [B, C].

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

    W starts at zero, the optimum's usual starting point: the problem is convex.
    """

    scan_backend = "none"

    def __init__(self, sequence_length: int, input_size: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(sequence_length * input_size, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.linear(x.flatten(1).contiguous())  # in one order, or another last bit of the product
        return logits

    def num_parameters(self) -> int:
        """Return the size of W and b."""
        return sum(parameter.numel() for parameter in self.parameters())

    def num_recurrent_parameters(self) -> int:
        """Nothing is recurrent."""
        return 0
