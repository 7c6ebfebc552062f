"""AntisymmetricRNN: Euler steps of an ODE whose Jacobian has nearly imaginary eigenvalues."""

from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.once_a_scan import once_a_scan
from asrnn.cells.parts.euler import EulerCell
from asrnn.cells.parts.hyperparameters import non_negative


def antisymmetric_matrix(entries: Tensor, size: int) -> Tensor:
    """Build A = U - U^T, ``[n, n]``, from the entries of the strictly upper triangle U, row by row."""
    rows, columns = torch.triu_indices(size, size, offset=1, device=entries.device)
    upper = entries.new_zeros(size, size).index_put((rows, columns), entries)
    return upper - upper.T


def diffused(matrix: Tensor, gamma: float) -> Tensor:
    """Shift the spectrum of a square matrix to the left: W - gamma I, ``[n, n]``."""
    return matrix - gamma * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


class Antisymmetric(EulerCell):
    """The AntisymmetricRNN with diffusion.

    h_t = h_{t-1} + epsilon tanh((A - gamma I) h_{t-1} + V x_t + b),   A = U - U^T

    Equation 12 of Chang et al., ICLR 2019, arXiv 1902.09689, with W_h the strictly upper triangular U: the
    paper counts the n(n-1)/2 entries of A as its parameters, and so does ``weight_hh``.

    Args:
        input_size: I, the paper's m.
        hidden_size: H, the paper's n.
        epsilon: the step size of the Euler method, above 0.
        gamma: the diffusion, 0 or above; at 0 the Euler method is unstable, as eigenvalues are imaginary.
        sigma_w: the entries of U are drawn from N(0, sigma_w^2/n); the spectral radius of A is then
            about 2 sigma_w.

    Shapes: ``weight_ih`` V ``[H, I]``, ``weight_hh`` U ``[H (H - 1) / 2]``, ``bias`` b ``[H]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "ode"
    paper: ClassVar[str] = "Chang et al., ICLR 2019, arXiv 1902.09689"
    year: ClassVar[int] = 2019

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 0.01,
        gamma: float = 0.01,
        sigma_w: float = 1.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            epsilon=epsilon,
            sigma_w=sigma_w,
            weight_hh=(hidden_size * (hidden_size - 1) // 2,),
        )
        self.gamma = non_negative("gamma", gamma)

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix A - gamma I, ``[H, H]``."""
        return diffused(antisymmetric_matrix(self.weight_hh, self.hidden_size), self.gamma)
