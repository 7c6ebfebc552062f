"""Define the soft orthogonal RNN: its recurrent matrix has singular values within a margin around 1."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import one_of, unit_interval
from asrnn.cells.parts.initialization import uniform, zero_bias
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.orthogonal import exponential, random_orthogonal
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence
from asrnn.ops.recurrences.vanilla import LeakyReluRNN, TanhRNN

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky-relu": F.leaky_relu,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "identity": torch.positive,
}
_SLOPES = {"relu": 0.0, "leaky-relu": 0.01, "identity": 1.0}


class SoftOrthogonal(FusedCell):
    r"""The factorised RNN whose singular values stay within a margin around 1.

    .. math::
        h_t = f(W h_{t-1} + V_{in} x_t + b), \qquad W = U \, \mathrm{diag}(S) \, V^\top,
            \qquad S = 1 + m \, (2 \sigma(p) - 1)

    Source: Vorontsov et al., ICML 2017, arXiv 1702.00071.

    m is the margin. U = U_0 exp(A_u) and V = V_0 exp(A_v) are orthogonal, because A_u and A_v are antisymmetric. Any
    optimiser keeps this constraint; the authors had a gradient descent of their own along geodesics. As in their paper,
    U_0 and V_0 are random and fixed, S starts at 1, b at 0, and h_0 is learnt. The authors do not say how V_in and h_0
    start, nor which f their MNIST results have. Here V_in is from U(-0.05, 0.05), h_0 starts at 0, and f is a leaky
    ReLU, with which every unit has a gradient.

    Args:
        input_size: the input size I.
        hidden_size: the hidden size H.
        margin: how far singular values may be from 1, from 0 to 1. At 0, W is orthogonal and there is no p.
        activation: f, one of ``leaky-relu`` (of slope 0.01), ``relu``, ``tanh`` and ``identity``.
        learn_initial: learn h_0; otherwise it is 0.

    Shapes: ``weight_ih`` V_in ``[H, I]``, ``weight_hh`` the entries of A_u and A_v above their diagonals
    ``[2, H (H - 1) / 2]``, ``p`` ``[H]``, ``bias`` b ``[H]``, ``initial_h`` h_0 ``[H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "orthogonal"
    paper: ClassVar[str] = "Vorontsov et al., ICML 2017, arXiv 1702.00071"
    year: ClassVar[int] = 2017
    structured: ClassVar[tuple[str, ...]] = ("weight_hh",)
    recurrence_class: ClassVar[type[Recurrence]] = LeakyReluRNN

    base_u: Tensor
    base_v: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        margin: float = 0.1,
        activation: str = "leaky-relu",
        learn_initial: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.margin = unit_interval("margin", margin)
        self.activation = one_of("activation", activation, _ACTIVATIONS)
        self.weight_ih = uniform(hidden_size, input_size, bound=0.05)
        self.weight_hh = nn.Parameter(torch.zeros(2, hidden_size * (hidden_size - 1) // 2))
        self.p = nn.Parameter(torch.zeros(hidden_size)) if self.margin else None
        self.bias = zero_bias(hidden_size)
        self.initial_h = nn.Parameter(torch.zeros(hidden_size)) if learn_initial else None
        self.register_buffer("base_u", random_orthogonal(hidden_size))
        self.register_buffer("base_v", random_orthogonal(hidden_size))

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W, ``[H, H]``."""
        U, V = (
            base @ exponential(antisymmetric_matrix(entries, self.hidden_size))
            for base, entries in zip((self.base_u, self.base_v), self.weight_hh, strict=True)
        )
        return (U if self.p is None else U * self.singular_values(self.p)) @ V.T

    def singular_values(self, p: Tensor) -> Tensor:
        """Map free numbers ``[H]`` to S, between 1 - margin and 1 + margin, ``[H]``."""
        # tanh(p / 2) is 2 sigmoid(p) - 1 without cancellation.
        return 1 + self.margin * torch.tanh(p / 2)

    def initial_state(self, batch_size: int) -> State:
        """Return the learnt h_0 for each sample, or zeros, ``[B, H]``."""
        if self.initial_h is None:
            return super().initial_state(batch_size)
        return (self.initial_h.expand(batch_size, -1),)

    def project(self, x: Tensor) -> Tensor:
        """Compute V_in x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (_ACTIVATIONS[self.activation](u + h @ self.recurrent_weight.T),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence of the activation."""
        return TanhRNN() if self.activation == "tanh" else LeakyReluRNN(_SLOPES[self.activation])

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V_in, b, the state and W."""
        return Operands(x, self.weight_ih, self.bias, state, (self.recurrent_weight,))
