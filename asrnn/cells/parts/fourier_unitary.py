"""Build the unitary matrices of the uRNN from diagonals, reflections, a permutation and Fourier transforms.

Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464.
"""

import math

import torch
from torch import Tensor, nn

from asrnn.cells.parts.initialization import uniform


def fourier_unitary(angles: Tensor, reflections: Tensor, permutation: Tensor) -> Tensor:
    """Build W = D_3 R_2 F^-1 D_2 P R_1 F D_1, complex, ``[N, N]``.

    F is the unitary discrete Fourier transform, D_k the diagonal of e^(i theta_k),
    ``R_k = I - 2 v_k v_k^H / |v_k|^2`` the reflection along v_k, and P h the units of h in another order,
    ``h[permutation]``.

    Args:
        angles: theta_1, theta_2 and theta_3, ``[3, N]``.
        reflections: v_1 and v_2, real and imaginary parts last, ``[2, N, 2]``.
        permutation: a permutation of 0 to N - 1, ``[N]``.
    """
    d_1, d_2, d_3 = torch.polar(torch.ones_like(angles), angles)
    v_1, v_2 = torch.view_as_complex(reflections)
    W = torch.fft.fft(d_1.diag(), dim=0, norm="ortho")
    W = torch.fft.ifft(d_2[:, None] * _reflected(v_1, W)[permutation], dim=0, norm="ortho")
    unitary: Tensor = d_3[:, None] * _reflected(v_2, W)
    return unitary


def _reflected(v: Tensor, W: Tensor) -> Tensor:
    """Return (I - 2 v v^H / |v|^2) W."""
    squared = torch.view_as_real(v).square().sum()
    return W - (2 / squared) * v[:, None] * (v.conj() @ W)


def draw_angles(size: int) -> nn.Parameter:
    """Draw theta_1 to theta_3 from U(-pi, pi), ``[3, N]``."""
    return uniform(3, size, bound=math.pi)


def draw_reflections(size: int) -> nn.Parameter:
    """Draw v_1 and v_2 from U(-sqrt(6/(2 + 2N)), sqrt(6/(2 + 2N))), real and imaginary parts, ``[2, N, 2]``."""
    return uniform(2, size, 2, bound=math.sqrt(6 / (2 + 2 * size)))
