"""Define recurrent models that are broken on purpose, each in one way."""

import random

import torch
from torch import Tensor, nn

from asrnn import RecurrentCell


class Sound(nn.Module):
    """tanh(W h + V x), a correct model. Each model below is this one with one thing changed."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.V = nn.Linear(input_size, hidden_size)
        self.W = nn.Linear(hidden_size, hidden_size, bias=False)
        nn.init.orthogonal_(self.W.weight)

    def start(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.W.in_features)

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.W(h) + u)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h, outputs = self.start(x) if state is None else state, []
        for u in self.V(x).unbind(1):
            h = self.step(u, h)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class LeaksTheFuture(Sound):
    """It subtracts the mean of the input over time."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=1, keepdim=True))[0]


class MixesTheBatch(Sound):
    """It standardises over the batch, also in evaluation."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x - 0.5 * x.mean(dim=0, keepdim=True), state)


class IgnoresTheState(Sound):
    """It accepts a state, but starts from zeros."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x, None)


class GrowsToNaN(RecurrentCell):
    """s_t = 1.06 s_{t-1} + V x_t overflows float32 after some 1,500 steps; the output is s / |s|."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.V = nn.Linear(input_size, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return self.V(x)

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (1.06 * state[0] + u,)

    def output(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[0] / (1 + state[0].abs().sum(dim=-1, keepdim=True))


class Transposed(Sound):
    """It returns [B, H, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0].transpose(1, 2)


class IsNoisy(Sound):
    """It adds noise, also in evaluation."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u + 0.1 * torch.randn_like(u), h)


class ForgetsAParameter(Sound):
    """It has a gate that it never uses."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.gate = nn.Linear(hidden_size, hidden_size)


class IsQuadratic(Sound):
    """It indexes each step of the projected input, and each backward pass of that fills a whole [B, T, H]."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, h, outputs = self.V(x), self.start(x) if state is None else state, []
        for t in range(x.shape[1]):
            h = self.step(u[:, t], h)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class CutsTheGraph(Sound):
    """It detaches the state, so no gradient reaches beyond the last step."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u, h.detach())


class TruncatesTheGraph(Sound):
    """It detaches the state every 100 steps: its gradient is right at T = 4 and wrong at the length of any task."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        pieces, h = [], state
        for piece in x.split(100, dim=1):
            piece_outputs, h = super().forward(piece, None if h is None else h.detach())
            pieces.append(piece_outputs)
        return torch.cat(pieces, dim=1), h


class DrawsFromRandom(Sound):
    """Its weights do not depend on torch's seed."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.V.bias.fill_(random.random())


class KeepsAPlainTensor(Sound):
    """It draws a weight that is not in its state dict."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = torch.rand(hidden_size) + 0.5

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u * self.scale.to(u), h)


class Squeezes(Sound):
    """It returns a wrong shape for a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0].squeeze(0)


class MakesFloat32(Sound):
    """It makes its initial state in torch's default dtype."""

    def start(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[0], self.W.in_features)


class IsOtherwiseInTraining(Sound):
    """It scales its input in training only, without any randomness."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(0.5 * x if self.training else x, state)


class ScansOtherwise(RecurrentCell):
    """A cell whose scan differs from its step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.V = nn.Linear(input_size, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return self.V(x)

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (0.9 * state[0] + u,)

    def scan(self, x: Tensor, state=None, *, return_sequence: bool = False):
        outputs, final = super().scan(x, state, return_sequence=return_sequence)
        return 1.001 * outputs, final


class CountsTwice(GrowsToNaN):
    """It counts more parameters than it has."""

    def step(self, u: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (0.9 * state[0] + u,)

    def num_parameters(self) -> int:
        return 2 * super().num_parameters()


class Remembers(Sound):
    """It keeps the sum of the longest input so far, and adds it to every later input."""

    longest = 5
    seen = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > self.longest:
            self.longest, self.seen = x.shape[1], x.detach().mean()
        return super().forward(x + self.seen)[0]


class Attends(Sound):
    """It attends to all earlier steps, with a kernel that stores no [T, T] matrix."""

    def forward(self, x: Tensor) -> Tensor:
        u = self.V(x)
        return self.W(nn.functional.scaled_dot_product_attention(u, u, u, is_causal=True))


class Explodes(Sound):
    """sin(2.6 (W h + u)): its outputs are bounded, but its gradient grows by about 1.3 a step."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.sin(2.6 * (self.W(h) + u))
