"""Define S4D: a filter for each feature, whose state is a discretised diagonal ODE."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.parts.hyperparameters import one_of, positive
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import State
from asrnn.cells.parts.state_space import StateSpaceCell, complex_parameter, real_parameter
from asrnn.errors import ModelError
from asrnn.ops import DiagonalFilter
from asrnn.shapes import positive_size


class S4D(StateSpaceCell):
    r"""The diagonal structured state-space model: a filter for each feature, whose state is a discretised ODE.

    .. math::
        x_t = e^{\Delta A} x_{t-1} + \frac{e^{\Delta A} - 1}{A} u_t, \qquad
        y_t = 2 \, \mathrm{Re}\Big(\sum_n C_n x_{t,n}\Big) + D u_t

    Source: Gu, Gupta, Goel and Re, NeurIPS 2022, arXiv 2206.11893, the recurrence of their block, without its
    activation, its gated unit, its normalisation and its skip.

    Each of H features has its own A, C, D and step length Delta = ``dt``. A step is the exact solution of x' = A x + u
    for an input that is constant over it.

    The N states of a feature come in conjugate pairs, and one of each pair is stored. A = -exp(log_A_real) + i A_imag
    has the initial real part -1/2 and the initial imaginary part pi n (``lin``) or (N/pi) (N/(2n+1) - 1) (``inv``), n =
    0 to N/2 - 1. The initial log dt is uniform between those of dt_min and dt_max, C is complex normal of variance 1, D
    is N(0, 1). u_t is the input if it has H numbers; otherwise it is V x_t + b, with V from N(0, 1/I) and b from 0.

    Args:
        input_size: the input size I.
        hidden_size: H, the number of features and of outputs.
        state_size: N, the size of a feature's state, even.
        init: the initial A, ``lin`` or ``inv``.
        dt_min: the shortest initial step, above 0. A feature remembers about 2/dt time steps.
        dt_max: the longest one, dt_min or above.

    Shapes: ``log_dt``, ``D`` ``[H]``, ``log_A_real``, ``A_imag`` ``[H, N/2]``, ``C`` ``[H, N/2, 2]``, real and
    imaginary parts last; if I is not H also ``weight_ih`` V ``[H, I]`` and ``bias`` b ``[H]``. The state is the real
    and the imaginary part of x, ``[B, H N/2]`` each, and u ``[B, H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "state space"
    paper: ClassVar[str] = "Gu et al., NeurIPS 2022, arXiv 2206.11893"
    year: ClassVar[int] = 2022
    structured: ClassVar[tuple[str, ...]] = ("log_dt", "log_A_real", "A_imag")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_size: int = 64,
        init: str = "lin",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
    ) -> None:
        if positive_size("state_size", state_size) % 2:
            raise ModelError(f"state_size must be even, as states come in conjugate pairs; it is {state_size}")
        pairs = state_size // 2
        super().__init__(input_size, hidden_size, state_size=state_size, state_width=hidden_size * pairs)
        if not positive("dt_min", dt_min) <= positive("dt_max", dt_max):
            raise ModelError(f"dt_max must be dt_min or above; dt_min is {dt_min!r} and dt_max {dt_max!r}")
        n = torch.arange(pairs, dtype=torch.float64)
        starts = {"lin": math.pi * n, "inv": state_size / math.pi * (state_size / (2 * n + 1) - 1)}
        bounds = math.log(dt_min), math.log(dt_max)
        self.log_dt = real_parameter(torch.empty(hidden_size, dtype=torch.float64).uniform_(*bounds))
        self.log_A_real = real_parameter(torch.full((hidden_size, pairs), math.log(0.5), dtype=torch.float64))
        self.A_imag = real_parameter(starts[one_of("init", init, starts)].repeat(hidden_size, 1))
        self.C = complex_parameter(torch.randn(hidden_size, pairs, dtype=torch.complex128))

    # In float64, because in the gradient of dt all but a hundredth cancels between the transition and the drive.
    @once_a_scan
    def eigenvalues(self) -> Tensor:
        """The eigenvalues of the ODE, complex, in float64, ``[H, N/2]``."""
        return torch.complex(-torch.exp(self.log_A_real.double()), self.A_imag.double())

    @once_a_scan
    def rate(self) -> Tensor:
        """The logarithm of the transition, complex, in float64, ``[H, N/2]``."""
        return torch.exp(self.log_dt.double())[:, None] * self.eigenvalues

    @once_a_scan
    def drive(self) -> Tensor:
        """The factor (exp(dt A) - 1)/A of the input, complex, in float64, ``[H, N/2]``."""
        return torch.expm1(self.rate) / self.eigenvalues

    @once_a_scan
    def transition(self) -> Tensor:
        """The factor exp(dt A) of the state, complex, in the weights' precision, ``[H, N/2]``."""
        return torch.exp(self.rate).to(self.C.dtype.to_complex())

    @once_a_scan
    def drive_weight(self) -> Tensor:
        """The factor of the input, complex, in the weights' precision, ``[H, N/2]``."""
        return self.drive.to(self.C.dtype.to_complex())

    def read(self, x: Tensor) -> Tensor:
        """Compute 2 Re(sum_n C_n x_n), ``[..., H N/2]``, complex, to ``[..., H]``."""
        return 2 * (torch.view_as_complex(self.C) * self._by_feature(x)).sum(-1).real

    def project(self, x: Tensor) -> Tensor:
        """Compute the features u, ``[..., I]`` to ``[..., H]``."""
        return self.features(x)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, H]``, and x ``[B, H N/2]`` in two parts."""
        x_re, x_im, _ = state
        x = self.transition * self._by_feature(torch.complex(x_re, x_im)) + self.drive_weight * u[..., None]
        x = x.flatten(-2)
        return x.real, x.imag, u

    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Run the filters in blocks; see :meth:`asrnn.cells.parts.parallel.ParallelCell.scan_in_parallel`."""
        x_re, x_im, _ = state
        u = self.features(x)
        filters = DiagonalFilter(self.rate, self.drive, 2 * torch.view_as_complex(self.C.double()))
        start = self._by_feature(torch.complex(x_re, x_im))
        sequence, last = filters(u, start, return_sequence=return_sequence)
        if return_sequence:
            sequence = sequence + self.D * u
        last = last.flatten(-2)
        return sequence, (last.real, last.imag, u[-1])

    def _by_feature(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.hidden_size, self.state_size // 2)
