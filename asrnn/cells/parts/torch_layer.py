"""Scan the cells for which ``torch.nn`` has a layer, by torch's kernels or by a fused recurrence."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.initialization import initialize_torch_layer
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence, other_takes_scan
from asrnn.ops.derivatives import under_a_transform


class TorchLayerCell(FusedCell):
    """One layer of ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose ``step`` the subclass writes out.

    On the CPU in float32 the fused recurrence runs in C, unless :meth:`layer_is_faster`. Torch's kernels run elsewhere,
    without a compiler, and if the layer has hooks, which run only when the layer is called. If a weight of the layer is
    parametrized, the fused recurrence runs, because torch's kernels would read the old weight.

    A subclass that changes what ``step`` computes must name its own ``layer_class`` and ``recurrence_class``; otherwise
    the loop scans it. See :class:`asrnn.cells.parts.fast.FastCell`. The loop also runs under transforms of
    ``torch.func`` and forward-mode differentiation.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    fast_attribute: ClassVar[str] = "layer_class"
    fast_reads: ClassVar[tuple[str, ...]] = ("layer", *FusedCell.fast_reads)

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

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def layer_is_faster(self) -> bool:
        """Return whether torch's kernels are faster than steps in C on this CPU, by an earlier measurement."""
        return False

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fused recurrence or torch's layer; see :meth:`asrnn.cells.parts.fast.FastCell.scan_fast`."""
        preferred, why_not = self.layer_is_faster() or self._is_hooked(), self._why_not()
        operands = self.operands(x, state)
        if not other_takes_scan("torch", self.recurrence(), operands, preferred=preferred, why_not=why_not):
            return super().scan_fast(x, state, return_sequence=return_sequence)
        start = tuple(part.unsqueeze(0) for part in state)
        sequence, last = self.layer(x, start if len(start) > 1 else start[0])
        final = tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))
        return "torch", sequence if return_sequence else final[0], final

    def _is_hooked(self) -> bool:
        """Return whether the layer has hooks, such as the pruning of a weight, which run when it is called."""
        layer = self.layer
        return any((layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks))

    def _why_not(self) -> str | None:
        """Return the reason why torch's kernels cannot run a scan; None if they can."""
        if under_a_transform():
            return "it is under a transform of torch.func, or forward-mode differentiation"
        weights = [weight for each in self.layer.all_weights for weight in each]
        if any(read is not weight for read, weight in zip(self.layer._flat_weights, weights, strict=True)):
            return "a weight of its layer is parametrized"
        return None
