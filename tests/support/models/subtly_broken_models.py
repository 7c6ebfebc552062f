"""Define models that are broken in one way each, which only some batches, lengths or trainings show."""

import os

import numpy as np
import torch
from broken_models import Sound
from torch import Tensor, nn


class SeesTheLastSample(Sound):
    """Each sample depends on the last one of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * x[-1:])[0]


class MixesInTraining(Sound):
    """In training, each sample depends on its neighbour; dropout, which is allowed, is applied too."""

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.dropout(x, 0.1, self.training)
        return super().forward(x + 0.1 * x.roll(1, 0) if self.training else x)[0]


class MixesLargeBatches(Sound):
    """It subtracts the mean over the batch from 16 samples on."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True) if len(x) >= 16 else x)[0]


class CountsPlaces(Sound):
    """It adds the index of the sample in the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.01 * torch.arange(len(x)).to(x)[:, None, None])[0]


class CarriesAState(Sound):
    """It starts a training batch from the last state of the batch before; dropout, which is allowed, is applied too."""

    kept = None

    def forward(self, x: Tensor) -> Tensor:
        known = self.training and self.kept is not None and len(self.kept) == len(x)
        outputs, h = super().forward(nn.functional.dropout(x, 0.1, self.training), self.kept if known else None)
        self.kept = h.detach() if self.training else self.kept
        return outputs


class CarriesIntoValidation(Sound):
    """It starts a validation from the mean state of the last training batch."""

    kept = None

    def forward(self, x: Tensor) -> Tensor:
        known = not self.training and self.kept is not None
        outputs, h = super().forward(x, self.kept.expand(len(x), -1) if known else None)
        self.kept = h.detach().mean(dim=0) if self.training else self.kept
        return outputs


SEEN: dict[torch.Size, Tensor] = {}


class CarriesInAGlobal(Sound):
    """It keeps the last state of each shape in a global of its module."""

    def forward(self, x: Tensor) -> Tensor:
        outputs, h = super().forward(x, SEEN.get(x.shape) if self.training else None)
        if self.training:
            SEEN[x.shape] = h.detach()
        return outputs


class LooksFarAhead(Sound):
    """Each step depends on the input 500 steps later."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.5 * nn.functional.pad(x, (0, 0, 0, 500))[:, 500:])[0]


class LooksAheadInTraining(Sound):
    """It subtracts each sample's mean over time in training, and the mean of such means in evaluation."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("mean", torch.zeros(input_size))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True) if self.training else self.mean
        if self.training:
            self.mean.lerp_(mean.detach().mean(dim=(0, 1)), 0.1)
        return super().forward(x - mean)[0]


class SeesTheLength(Sound):
    """It adds t / T to each step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.linspace(0, 1, x.shape[1]).to(x)[:, None])[0]


class TruncatesLongTraining(Sound):
    """It detaches the state every 512 steps of a training."""

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = self.start(x), []
        for t, u in enumerate(self.V(x).unbind(1)):
            h = self.step(u, h.detach() if self.training and t % 512 == 0 else h)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


class LearnsFromTheEnd(Sound):
    """It returns only the last output, and its graph covers only the last 400 steps."""

    def forward(self, x: Tensor) -> Tensor:
        early, h = max(x.shape[1] - 400, 0), None
        if early:
            with torch.no_grad():
                _, h = super().forward(x[:, :early])
        return super().forward(x[:, early:], h)[1]


class ChangesItsInput(Sound):
    """It scales its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.data.mul_(0.5))[0]


class ReturnsTheSameMemory(Sound):
    """It writes the outputs of every evaluation into the same tensor."""

    memory = None

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)[0]
        if self.training or torch.is_grad_enabled():
            self.memory = torch.empty_like(outputs) if self.memory is None else self.memory
            if self.memory.shape == outputs.shape:
                self.memory.detach_().copy_(outputs)
                return self.memory
        return outputs


class DependsOnTheGradientMode(Sound):
    """It scales its input if gradients are enabled."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(0.9 * x if torch.is_grad_enabled() else x)[0]


class MakesParameters(Sound):
    """It makes a new parameter in every training call, which no optimiser has."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.gain = nn.Parameter(torch.ones(x.shape[-1]))
        return super().forward(x * self.gain if self.training else x)[0]


class ReadsOneNumber(Sound):
    """It reads only the first number of a step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., :1].expand_as(x))[0]


class DividesByZero(Sound):
    """It divides each step by its norm, which may be 0."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / x.norm(dim=-1, keepdim=True))[0]


class TurnsGradientsOff(Sound):
    """It disables gradients for the whole process in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)[0]
        torch.set_grad_enabled(self.training)
        return outputs


class SeedsItself(Sound):
    """It seeds torch's generator, so every run starts from the same weights."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        torch.manual_seed(0)
        super().__init__(input_size, hidden_size)


class DrawsWithoutASeed(Sound):
    """It adds noise in training that does not depend on the seed of the job."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.from_numpy(np.random.default_rng().normal(size=tuple(x.shape))).to(x)
        return super().forward(x + 0.1 * noise if self.training else x)[0]


class GrowsATable(Sound):
    """It saves a table of positions as a buffer, as long as the longest sequence so far."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("positions", torch.arange(400.0), persistent=True)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > len(self.positions):
            self.positions = torch.arange(x.shape[1], dtype=x.dtype)
        return super().forward(x + 0.1 * self.positions[: x.shape[1], None].sin().to(x))[0]


class CountsCalls(Sound):
    """It scales its input by the number of training calls, which is not in its state dict."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x / (1 + 0.01 * self.calls))[0]


class Hoards(Sound):
    """It keeps the outputs of every call."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.history: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)[0]
        self.history.append(outputs)
        return outputs


class DependsOnTheProcess(Sound):
    """It adds a number that depends on the process id."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + os.getpid() % 97 / 97)[0]
