"""Run one training step of a contender, as a user's own script would."""

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
    """A peer's layer with a linear readout of its last state, which is cheaper than of its last output."""

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
    """A training step: forward, cross entropy on the last state, backward, Adam.

    Args:
        contender: the contender.
        size: B, T, I and H.
        device: the device of the model and of the batches.
    """

    def __init__(self, contender: Contender, size: Size, device: str) -> None:
        torch.manual_seed(SEED)
        self.contender, self.device = contender, device
        self.model = _build(contender, size).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Train on inputs ``[B, T, I]`` with labels ``[B]``, and wait for the device."""
        self.optimizer.zero_grad()
        rounded = torch.autocast(self.device, torch.bfloat16, enabled=self.contender.setting == "bfloat16")
        with scan_with(self.contender.backend), rounded:
            loss = F.cross_entropy(self.model(x).float(), y)
        torch.autograd.backward(loss)
        self.optimizer.step()
        if self.device == "cuda":
            torch.cuda.synchronize()

    @property
    def scan_backend(self) -> str:
        """The back end of the recurrence, as records name it."""
        if isinstance(self.model, RecurrentModel):
            return self.model.scan_backend
        return "torch" if self.contender.target.startswith("torch.") else "module"


def make_batch(size: Size, device: str) -> tuple[Tensor, Tensor]:
    """Return normal inputs ``[B, T, I]``, laid out as ``[T, B, I]`` like those of tasks, and labels ``[B]``."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(size.num_steps, size.batch_size, size.input_size, generator=generator).transpose(0, 1)
    y = torch.randint(NUM_CLASSES, (size.batch_size,), generator=generator)
    return x.to(device), y.to(device)


def make_step(contender: Contender, size: Size, device: str, threads: int) -> "TrainingStep | JaxTraining":
    """Return the training step of a contender, in torch or in JAX."""
    return JaxTraining(contender, size, threads) if contender.kind == "jax" else TrainingStep(contender, size, device)


class JaxTraining:
    """The same training step in JAX, on the CPU, with batches from torch."""

    scan_backend = "xla"

    def __init__(self, contender: Contender, size: Size, threads: int) -> None:
        from asrnn_bench.speed.jax_peers import JaxStep  # jax may not be installed, and importing it takes a second

        self._step = JaxStep(contender.target.partition(":")[2], size, NUM_CLASSES, threads)

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Train on inputs ``[B, T, I]`` with labels ``[B]``."""
        self._step(x.transpose(0, 1).contiguous().numpy(), y.numpy())


def _build(contender: Contender, size: Size) -> RecurrentModel | LastState:
    if contender.kind == "model":
        return build_model(
            contender.target, input_size=size.input_size, hidden_size=size.hidden_size, num_outputs=NUM_CLASSES
        )
    module, _, name = contender.target.partition(":")
    layer = getattr(import_module(module), name)(size.input_size, size.hidden_size, batch_first=True)
    return LastState(layer, size.hidden_size)
