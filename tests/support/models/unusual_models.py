"""Define recurrent models that are correct but unusual, each in one way."""

import torch
from broken_models import Sound
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class HasNoMemory(Sound):
    """With its initial weights it forgets everything at every step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        nn.init.zeros_(self.W.weight)


class ReturnsTheLast(Sound):
    """It returns only the last output."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[1]


class WantsSixteens(Sound):
    """It accepts only hidden sizes that are multiples of 16."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        if hidden_size % 16:
            raise ValueError(f"hidden_size must be a multiple of 16, not {hidden_size}")
        super().__init__(input_size, hidden_size)


class EnlargesRoundings(Sound):
    """Its rounding depends on the length, as in some libraries, and differences grow two- or threefold a step."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.sin(4 * (self.W(h) + u))

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x * (1 + x.shape[1] * torch.finfo(x.dtype).eps), state)


class DropsInTraining(Sound):
    """It applies dropout to its inputs in training."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(nn.functional.dropout(x, 0.2, self.training), state)


class KeepsStatistics(Sound):
    """It applies batch norm to its inputs."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(input_size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(self.norm(x.flatten(0, 1)).view_as(x), state)


class TakesAMask(Sound):
    """Its second argument is not a state, and is keyword-only."""

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x if mask is None else x * mask)


class ForgetsNowAndThen(Sound):
    """It resets its state at about one input in twenty, so the gradient of earlier inputs is rightly 0."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u, h * (u[:, :1] > self.V.bias[0] - 0.1))


class StartsDead(Sound):
    """Its gain starts at 0, so only the gain has a gradient in the first training step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.gain = nn.Parameter(torch.zeros(hidden_size))

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return super().step(u * self.gain, h) + 1


class HoldsALambda(Sound):
    """Its activation is a lambda, which cannot be pickled; no job pickles it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.activation = lambda z: torch.tanh(z)

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return self.activation(self.W(h) + u)


class IsOrthogonal(Sound):
    """Its recurrent weight is orthogonal, by torch's parametrization."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        parametrizations.orthogonal(self.W)


class IsSpectral(Sound):
    """Its recurrent weight has torch's spectral norm, a power iteration whose vectors change at every call."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        parametrizations.spectral_norm(self.W)


class CompilesItsStep(Sound):
    """Its step is compiled."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.step = torch.compile(self._step)

    def _step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.W(h) + u)


class IsAReservoir(Sound):
    """It has no trained parameters."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.requires_grad_(False)


class TakesLengths(Sound):
    """The second argument of forward is not a state."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outputs, h = super().forward(x)
        return outputs, h if lengths is None else outputs[torch.arange(len(x)), lengths - 1]


class TakesAContext(Sound):
    """The second argument of forward is not a state, though its name does not show it; its shape differs."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x if context is None else x + context.view_as(x))


class HasExtraState(Sound):
    """It counts its training calls, and saves the count as extra state."""

    calls = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.calls += self.training
        return super().forward(x / (1 + 0.01 * self.calls), state)


class IsComplex(nn.Module):
    """A complex diagonal recurrence; the output is the real part of a linear map of the state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.V = nn.Parameter(torch.randn(hidden_size, input_size, dtype=torch.cfloat) / input_size**0.5)
        self.angle = nn.Parameter(6 * torch.rand(hidden_size))
        self.C = nn.Parameter(torch.randn(hidden_size, hidden_size, dtype=torch.cfloat) / hidden_size**0.5)

    def forward(self, x: Tensor) -> Tensor:
        factor = torch.polar(torch.full_like(self.angle, 0.99), self.angle)
        u = x.to(self.V.dtype) @ self.V.T
        h, outputs = torch.zeros_like(u[:, 0]), []
        for u_t in u.unbind(1):
            h = factor * h + u_t
            outputs.append(h)
        return (torch.stack(outputs, dim=1) @ self.C.T).real


class CastsToFloat32(Sound):
    """It computes in float32, and returns the dtype of its input."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(h.float() @ self.W.weight.float().T + u.float()).to(u.dtype)


class NeedsCuda(Sound):
    """It runs only on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.is_cuda
        return super().forward(x)[0]


class NeedsADriver(Sound):
    """It can be built only on a GPU."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        raise RuntimeError("Found no NVIDIA driver on your system")


class WantsEvenSizes(nn.Module):
    """Half of its units are in a second layer, and it returns only the last output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lower = nn.GRU(input_size, hidden_size // 2, batch_first=True)
        self.upper = nn.GRU(hidden_size // 2, hidden_size // 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lower, _ = self.lower(x)
        return torch.cat([lower[:, -1], self.upper(lower)[0][:, -1]], dim=-1)


class SkipsALayerNowAndThen(nn.Module):
    """Its upper layer is skipped at random in half of the training steps."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lower = nn.GRU(input_size, hidden_size, batch_first=True)
        self.upper = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lower(x)
        return y if self.training and torch.rand(()) < 0.5 else y + self.upper(y)[0]


class KeepsATable(Sound):
    """It keeps a table of positions as long as the longest sequence so far, in a buffer that is not saved."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("positions", torch.arange(400.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > len(self.positions):
            self.positions = torch.arange(x.shape[1], dtype=x.dtype)
        return super().forward(x + 0.1 * self.positions[: x.shape[1], None].sin().to(x))[0]


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        return gradient / (1 + v.abs()) ** 2


class Spikes(Sound):
    """Its outputs are step functions, with a surrogate gradient."""

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return _Spike.apply(self.W(h) + u)


class IsChaotic(Sound):
    """A recurrence with layer norm, whose outputs after 1,000 steps are chaotic."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def step(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.W(h) + u))
