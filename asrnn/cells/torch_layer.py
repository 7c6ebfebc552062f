"""What the cells that torch scans itself have in common."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.base import State
from asrnn.cells.fast import FastCell
from asrnn.cells.initialization import initialize_torch_layer
from asrnn.ops import takes_scan
from asrnn.ops.derivatives import under_a_transform


class TorchLayerCell(FastCell):
    """One layer of ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose ``step`` the subclass writes out.

    A subclass that replaces what ``step`` computes without a ``layer_class`` of its own is scanned by the loop; see
    :class:`asrnn.cells.fast.FastCell`. So are transforms of ``torch.func`` and forward-mode derivatives, which torch's
    kernels do not have, and a layer whose weights are parametrized, of which they would read the old ones.

    Args:
        input_size: I.
        hidden_size: H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    fast_attribute: ClassVar[str] = "layer_class"
    fast_reads: ClassVar[tuple[str, ...]] = ("layer",)
    usual_backend: ClassVar[str] = "torch"

    layer_class: ClassVar[Callable[..., nn.RNNBase]]

    def __init__(self, input_size: int, hidden_size: int, *, sigma_w: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = self.layer_class(input_size, hidden_size, batch_first=True)
        initialize_torch_layer(self.layer, sigma_w)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b_ih, ``[..., I]`` to ``[..., G H]``, G the number of gates."""
        V, _, b_ih, _ = self.layer.all_weights[0]
        return F.linear(x, V, b_ih)

    def recur(self, h: Tensor) -> Tensor:
        """Compute W h + b_hh, ``[B, H]`` to ``[B, G H]``."""
        _, W, _, b_hh = self.layer.all_weights[0]
        return F.linear(h, W, b_hh)

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run torch's layer; see :meth:`FastCell.scan_fast`."""
        if not takes_scan("torch", type(self).__name__, why_not=self._why_not()):
            return None
        start = tuple(part.unsqueeze(0) for part in state)
        sequence, last = self.layer(x, start if len(start) > 1 else start[0])
        final = tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))
        return "torch", sequence if return_sequence else final[0], final

    def _why_not(self) -> str | None:
        """Say in a sentence why torch's kernels cannot run a scan, if so."""
        if under_a_transform():
            return "it is under a transform of torch.func, or forward-mode differentiation"
        weights = [weight for each in self.layer.all_weights for weight in each]
        if any(read is not weight for read, weight in zip(self.layer._flat_weights, weights, strict=True)):
            return "a weight of its layer is parametrized"
        return None
