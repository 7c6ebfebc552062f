"""What the cells that torch scans itself have in common."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.initialization import initialize_torch_layer


class TorchLayerCell(RecurrentCell):
    """One layer of ``torch.nn.RNN``, ``GRU`` or ``LSTM``, whose ``step`` the subclass writes out.

    Args:
        input_size: I.
        hidden_size: H.
        sigma_w: the entries of W are drawn from N(0, sigma_w^2/H).
    """

    layer_class: ClassVar[Callable[..., nn.RNNBase]]
    scan_backend = "torch"

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

    def scan(self, x: Tensor, state: State | None = None, *, return_sequence: bool = False) -> tuple[Tensor, State]:
        """Run torch's layer; see :meth:`RecurrentCell.scan`."""
        start = tuple(part.unsqueeze(0) for part in self._state_for(x, state))
        sequence, last = self.layer(x, start if len(start) > 1 else start[0])
        final = tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))
        return sequence if return_sequence else final[0], final
