"""Define the AntisymmetricRNN: Euler steps of an ODE whose Jacobian has nearly imaginary eigenvalues."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.hyperparameters import non_negative, positive
from asrnn.cells.parts.initialization import hidden_weight, input_weight, zero_bias
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Operands, Recurrence, Residual


def antisymmetric_matrix(entries: Tensor, size: int) -> Tensor:
    """Build A = U - U^T, ``[n, n]``, from the entries of the strictly upper triangle U, row by row."""
    rows, columns = torch.triu_indices(size, size, offset=1, device=entries.device)
    upper = entries.new_zeros(size, size).index_put((rows, columns), entries)
    return upper - upper.T


def diffused(matrix: Tensor, gamma: float) -> Tensor:
    """Shift the spectrum of a square matrix to the left: W - gamma I, ``[n, n]``."""
    return matrix - gamma * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


class Antisymmetric(FusedCell):
    r"""The AntisymmetricRNN with diffusion.

    .. math::
        h_t = h_{t-1} + \epsilon \tanh\big((A - \gamma I) h_{t-1} + V x_t + b\big), \qquad A = U - U^\top

    Source: Equation 12 of Chang et al., ICLR 2019, arXiv 1902.09689.

    U is strictly upper triangular: the paper counts the n(n-1)/2 entries of A as its parameters, and so does
    ``weight_hh``.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above. At 0 the eigenvalues are imaginary, and the Euler method is unstable.
        sigma_w: the entries of U are drawn from N(0, sigma_w^2/n). The spectral radius of A is then about 2 sigma_w.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` b ``[H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019
    recurrence_class: ClassVar[type[Recurrence]] = Residual

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.01,
        gamma: float = 0.01,
        sigma_w: float = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.epsilon = positive("epsilon", epsilon)
        self.gamma = non_negative("gamma", gamma)
        rows = self.recurrence_class.num_inputs * hidden_size
        self.weight_ih = input_weight(rows, input_size)
        self.weight_hh = hidden_weight(*self.weight_hh_shape(), hidden_size=hidden_size, sigma_w=sigma_w)
        self.bias = zero_bias(rows)

    def weight_hh_shape(self) -> tuple[int, ...]:
        """Return the shape of ``weight_hh``, from which the recurrent weight is built."""
        return (self.hidden_size * (self.hidden_size - 1) // 2,)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix A - gamma I, ``[H, H]``."""
        return diffused(antisymmetric_matrix(self.weight_hh, self.hidden_size), self.gamma)

    def project(self, x: Tensor) -> Tensor:
        """Compute V x + b, ``[..., I]`` to ``[..., H]``."""
        return F.linear(x, self.weight_ih, self.bias)

    def step(self, u: Tensor, state: State) -> State:
        """Take one Euler step, ``u`` and h ``[B, H]``."""
        (h,) = state
        return (h + self.epsilon * torch.tanh(u + h @ self.recurrent_weight.T),)

    def recurrence(self) -> Recurrence:
        """Return the recurrence with the step size epsilon."""
        return self.recurrence_class(self.epsilon)

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, V, b, the state and A - gamma I."""
        return Operands(x, self.weight_ih, self.bias, state, (self.recurrent_weight,))
