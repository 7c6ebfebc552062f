"""Define the Kronecker recurrent unit: its complex recurrent matrix is a Kronecker product of small matrices."""

from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.complex_cell import ComplexCell
from asrnn.cells.parts.modrelu import complex_mod_relu
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.orthogonal import random_unitary
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import Recurrence
from asrnn.ops.recurrences.modrelu import ComplexModReLU


class KRU(ComplexCell):
    r"""The Kronecker recurrent unit, with N complex units and a matrix that is a Kronecker product.

    .. math::
        h_t = \mathrm{modReLU}(W h_{t-1} + V x_t; b), \qquad W = W_0 \otimes W_1 \otimes \dots \otimes W_{F-1}

    Source: Jose, Cisse and Fleuret, ICML 2018, arXiv 1705.10142.

    The factors are as small as N allows: a p x p matrix for each prime factor p of N, the smallest first. So 512 units
    have nine factors of 2 x 2, and a prime N has W itself. A step multiplies by one factor after the other and never
    builds W. A fused scan builds W once and multiplies by it, which is faster at hundreds of units. The authors add a
    penalty to the loss that draws each factor towards a unitary matrix. It is left out here: factors start as random
    unitary matrices and are free to leave. What the paper leaves open is chosen here: modReLU, whose biases the
    published count of 11k parameters at 512 units neither needs nor excludes; a readout of real and imaginary parts; V
    and b that are initialised as those of the uRNN.

    Args:
        input_size: the input size I.
        hidden_size: N, the number of complex units.

    Shapes: ``weight_ih`` V ``[2 N, I]``, ``factors`` W_0 to W_{F-1}, real and imaginary parts last, ``[p, p, 2]`` each,
    ``bias`` b ``[N]``.
    """

    version: ClassVar[int] = 3
    family: ClassVar[str] = "Kronecker"
    paper: ClassVar[str] = "Jose, Cisse and Fleuret, ICML 2018, arXiv 1705.10142"
    year: ClassVar[int] = 2018
    recurrence_class: ClassVar[type[Recurrence]] = ComplexModReLU

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, learn_initial=False)
        self.factors = nn.ParameterList(random_unitary(size) for size in prime_factors(hidden_size))

    @once_a_scan
    def recurrent_weight(self) -> Tensor:
        """The matrix W, complex, ``[N, N]``, the first factor being the most significant."""
        # In float64, because every step would repeat the rounding errors of the product.
        exact = (torch.view_as_complex(factor.double()) for factor in self.factors)
        return reduce(torch.kron, exact).to(self.weight_ih.dtype.to_complex())

    def recur(self, h: Tensor) -> Tensor:
        """Compute W h, complex, ``[B, N]`` to ``[B, N]``, factor by factor."""
        for factor in map(torch.view_as_complex, self.factors):
            # The units form a grid with an axis for each factor. Each product contracts the first axis and appends its
            # result as the last one, so that the axes are in their order again after all products.
            grid = h.view(len(h), len(factor), h.shape[1] // len(factor))
            h = (grid.transpose(1, 2) @ factor.T).flatten(1)
        return h

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 2 N]``, the real and imaginary parts of h ``[B, N]`` each."""
        u_re, u_im = u.chunk(2, dim=-1)
        recurrent = self.recur(torch.complex(*state))
        return complex_mod_relu(u_re + recurrent.real, u_im + recurrent.imag, self.bias)


def prime_factors(number: int) -> list[int]:
    """Return the prime factors of a positive integer, the smallest first, and ``[1]`` for 1."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        if number % divisor:
            divisor += 1
        else:
            factors.append(divisor)
            number //= divisor
    return factors + [number] * (number > 1 or not factors)
