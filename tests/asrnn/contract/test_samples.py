"""In training a model may use statistics of a batch. A changing buffer does not excuse any other mixing of samples."""

import pytest
import torch
from broken_models import Sound
from contract_support import verdict
from torch import Tensor

from asrnn.contract.checks import time


class Counts(Sound):
    """It counts its calls in training, in a buffer."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x)[0]


class CountsAndMixes(Counts):
    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        return outputs - outputs.mean(dim=0) if self.training else outputs


class CountsAndFades(Counts):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / (1 + self.calls)


class CountsAndIsOtherwiseInTraining(Counts):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if self.training else 1)


class Standardises(Sound):
    """It subtracts the mean of the batch in training, and the running mean in evaluation."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("mean", torch.zeros(input_size))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x - self.mean)[0]
        mean = x.mean(dim=(0, 1))
        self.mean.lerp_(mean.detach(), 0.1)
        return super().forward(x - mean)[0]


class StandardisesAndLooksAhead(Standardises):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.5 * x.roll(-3, dims=1) if self.training else x)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "LENGTHS_AND_CUTS", time.LENGTHS_AND_CUTS[:1])


@pytest.mark.parametrize(
    ("model", "check", "words"),
    [
        (CountsAndMixes, "batch-independence", "in training, the outputs of a sample change"),
        (CountsAndIsOtherwiseInTraining, "train-is-eval", "outputs in training and in evaluation differ"),
        (StandardisesAndLooksAhead, "causality", "in training): the model sees the future"),
    ],
)
def test_a_changing_buffer_does_not_excuse_a_failure(model: type, check: str, words: str) -> None:
    found = verdict(model, check)
    assert found.outcome == "failed", found
    assert words in found.found


@pytest.mark.parametrize(
    ("model", "check", "outcome"),
    [
        (Counts, "train-is-eval", "passed"),
        (CountsAndFades, "train-is-eval", "skipped"),
        (Standardises, "train-is-eval", "skipped"),
        (Standardises, "batch-independence", "passed"),
        (Standardises, "causality", "passed"),
    ],
)
def test_a_counter_of_calls_and_batch_statistics_are_allowed(model: type, check: str, outcome: str) -> None:
    assert verdict(model, check).outcome == outcome
