"""modReLU: a threshold on the modulus of a unit, which keeps its sign or its phase."""

import torch
from torch import Tensor
from torch.nn import functional as F


def mod_relu(z: Tensor, bias: Tensor) -> Tensor:
    """Move the size of real units by a bias, down to 0 at most, and keep their signs.

    modReLU(z; b) = sign(z) relu(|z| + b)

    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464, for real units. As sign(0) = 0, a unit at exactly 0 stays
    there whatever its bias is, and passes no gradient on.

    Args:
        z: what goes into the units, ``[..., H]``.
        bias: b, ``[H]``; below 0 it makes a dead zone, above 0 a jump at 0.
    """
    return torch.sgn(z) * F.relu(z.abs() + bias)


def complex_mod_relu(re: Tensor, im: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Move the modulus of complex units by a bias, down to 0 at most, and keep their phases.

    modReLU(z; b) = relu(|z| + b) z / |z|,   0 where z = 0

    Arjovsky, Shah and Bengio, ICML 2016, arXiv 1511.06464, without the small constant that their program adds to the
    denominator. A unit at exactly 0 stays there, and passes no gradient on.

    Args:
        re: the real part of z, ``[..., N]``.
        im: the imaginary part of z, ``[..., N]``.
        bias: b, real, ``[N]``.

    Returns:
        the real and the imaginary part, ``[..., N]`` each.
    """
    # By the squares: a modulus whose square is 0 in this precision is too small to divide by.
    away_from_zero = re * re + im * im > 0
    # hypot has no derivative at 0, hence the 1. That of a square root would grow with 1/|z| and overflow, as would that
    # of relu(|z| + b) / |z|.
    modulus = torch.hypot(torch.where(away_from_zero, re, 1.0), im)
    size = torch.where(away_from_zero, F.relu(modulus + bias), 0.0)
    return size * (re / modulus), size * (im / modulus)
