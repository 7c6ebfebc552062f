"""Build orthogonal and unitary matrices as smooth functions of free numbers, and draw these numbers.

A skew-symmetric matrix A (A^T = -A) is stored as the n (n - 1) / 2 entries above its diagonal, as many as an orthogonal
matrix has degrees of freedom; ``antisymmetric_matrix`` in ``cells/antisymmetric.py`` builds it. Its exponential and its
Cayley transform are orthogonal whatever the entries are, so that any optimiser keeps the constraint. Both reach
rotations only, of determinant 1.
"""

import math

import torch
from torch import Tensor


def exponential(A: Tensor) -> Tensor:
    """Compute the orthogonal or unitary exp(A), ``[n, n]``, of a skew-symmetric or skew-Hermitian A, ``[n, n]``."""
    # In float32 torch's result is off by up to 4e-5 where |A| is near 0.5, and its gradient by more where gradients are
    # large. Both errors matter, because a scan multiplies by this matrix hundreds of times.
    return torch.matrix_exp(A.to(torch.promote_types(A.dtype, torch.float64))).to(A.dtype)


def cayley(A: Tensor) -> Tensor:
    """Compute the orthogonal (I + A)^-1 (I - A), ``[n, n]``, of a skew-symmetric A, ``[n, n]``.

    It has no eigenvalue -1. ``torch.nn.utils.parametrizations`` has (I - A/2)^-1 (I + A/2), the transform of -A/2.
    """
    identity = torch.eye(len(A), dtype=A.dtype, device=A.device)
    orthogonal: Tensor = torch.linalg.solve(identity + A, identity - A)
    return orthogonal


def skew_hermitian(weight: Tensor) -> Tensor:
    """Build the complex A = -A^H, ``[N, N]``, from as many real numbers as it has degrees of freedom, ``[N, N]``.

    The numbers above the diagonal are the real parts of A there. The numbers on and below the diagonal are the
    imaginary parts of A there.
    """
    re, im = weight.triu(1), weight.tril()
    return torch.complex(re - re.T, im + im.tril(-1).T)


def block_rotations(size: int, init: str) -> Tensor:
    """Draw entries, ``[n (n - 1) / 2]``, of an A that rotates the pairs of units (0, 1), (2, 3), ... and nothing else.

    The blocks of A are [[0, d], [-d, 0]]. If n is odd, the last unit has no pair and is not rotated.

    Args:
        size: n.
        init: ``henaff`` draws d from U(-pi, pi), so that exp(A) turns each pair by any angle (Henaff, Szlam and LeCun,
            ICML 2016, arXiv 1602.06662). ``cayley`` draws d = -tan(u / 2) with u from U(0, pi / 2), so that the Cayley
            transform turns each pair by u (Helfrich, Willmott and Ye, ICML 2018, arXiv 1707.09520).
    """
    uniform = torch.rand(size // 2)
    turns = math.pi * (2 * uniform - 1) if init == "henaff" else -torch.tan(math.pi / 4 * uniform)
    first = torch.arange(0, size - 1, 2)
    A = torch.zeros(size, size)
    A[first, first + 1] = turns
    rows, columns = torch.triu_indices(size, size, offset=1)
    return A[rows, columns]


def random_orthogonal(size: int) -> Tensor:
    """Draw an orthogonal matrix, ``[n, n]``, from the uniform distribution."""
    return torch.nn.init.orthogonal_(torch.empty(size, size))


def random_unitary(size: int) -> Tensor:
    """Draw a unitary matrix from the uniform distribution, as real and imaginary parts, ``[n, n, 2]``."""
    Q, R = torch.linalg.qr(torch.view_as_complex(torch.randn(size, size, 2)))
    # Gram-Schmidt gives an R with a positive diagonal. LAPACK does not, so its Q is not uniformly distributed.
    return torch.view_as_real(Q * torch.sgn(R.diagonal()))
