"""One training step of a contender, as a user's own script would take it."""

from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.models import RecurrentModel, build_model
from asrnn.ops import scan_with
from asrnn_bench.speed.contenders import Contender
from asrnn_bench.speed.sizes import Size

NUM_CLASSES = 10
SEED = 0


class LastState(nn.Module):
    """A peer's layer with a linear readout of its last state, which costs less than its output at the last step."""

    def __init__(self, layer: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.layer = layer
        self.readout = nn.Linear(hidden_size, NUM_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, T, I]`` to ``[B, C]``."""
        _, state = self.layer(x)
        h = state[0] if isinstance(state, tuple) else state  # (h, c), each [layers, B, H]
        read: Tensor = self.readout(h[-1])
        return read


class TrainingStep:
    """Forward, cross entropy on the last state, backward and Adam; a call takes one step and waits for its end.

    Args:
        contender: whose step it is.
        size: B, T, I and H.
        device: where the model is; the batch must be there too.
    """

    def __init__(self, contender: Contender, size: Size, device: str) -> None:
        torch.manual_seed(SEED)
        self.contender, self.device = contender, device
        self.model = _build(contender, size).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Train on inputs ``[B, T, I]`` with labels ``[B]``."""
        self.optimizer.zero_grad()
        with scan_with(self.contender.backend):
            loss = F.cross_entropy(self.model(x), y)
        torch.autograd.backward(loss)
        self.optimizer.step()
        if self.device == "cuda":
            torch.cuda.synchronize()

    @property
    def scan_backend(self) -> str:
        """What runs the recurrence, as records call it."""
        if isinstance(self.model, RecurrentModel):
            return self.model.scan_backend
        return "torch" if self.contender.target.startswith("torch.") else "module"


def make_batch(size: Size, device: str) -> tuple[Tensor, Tensor]:
    """Return inputs ``[B, T, I]`` of normal numbers, and labels ``[B]``."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(size.batch_size, size.num_steps, size.input_size, generator=generator)
    y = torch.randint(NUM_CLASSES, (size.batch_size,), generator=generator)
    return x.to(device), y.to(device)


def _build(contender: Contender, size: Size) -> RecurrentModel | LastState:
    if contender.kind == "model":
        return build_model(
            contender.target, input_size=size.input_size, hidden_size=size.hidden_size, num_outputs=NUM_CLASSES
        )
    module, _, name = contender.target.partition(":")
    layer = getattr(import_module(module), name)(size.input_size, size.hidden_size, batch_first=True)
    return LastState(layer, size.hidden_size)
