"""One check of the contract on one model."""

from torch import nn

from asrnn.contract import CHECKS, ModelUnderTest
from asrnn.contract.report import Verdict


def verdict(model: type[nn.Module], name: str) -> Verdict:
    """Return what a check says of a small model on the CPU."""
    (check,) = (check for check in CHECKS if check.name == name)
    return check(ModelUnderTest(model, {}, hidden_size=8, device="cpu")).verdict
