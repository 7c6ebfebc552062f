"""Define the linear recurrent unit: a diagonal complex recurrence that is stable for all its parameters."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.cells.parts.hyperparameters import non_negative, positive
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.parallel import ElementwiseCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.cells.parts.state_space import StateSpaceCell, complex_parameter, real_parameter
from asrnn.errors import ModelError
from asrnn.ops import Operands, Recurrence, linear_recurrence
from asrnn.ops.recurrences.diagonal import ComplexDiagonal


class LRU(StateSpaceCell, ElementwiseCell):
    r"""The linear recurrent unit: a diagonal complex recurrence that is stable for all its parameters.

    .. math::
        x_t &= \lambda \circ x_{t-1} + \gamma \circ (B u_t), \qquad y_t = \mathrm{Re}(C x_t) + D \circ u_t \\
        \lambda &= \exp\big(-e^{\nu} + i e^{\theta}\big), \qquad \gamma = e^{gl}

    Source: Orvieto et al., ICML 2023, arXiv 2303.06349, the recurrence of their block, without its normalisation, its
    gated unit and its skip.

    The modulus of lambda is below 1 for every nu. At the start lambda is uniform on the ring between r_min and r_max,
    with phases up to max_phase, and gamma is ``sqrt(1 - |lambda|^2)``, which keeps the variance of the state at that of
    its input. All three are learnt. B and C are complex normal of variance 1/H and 2/N, D is N(0, 1). u_t is the input
    if it has H numbers; otherwise it is V x_t + b, with V from N(0, 1/I) and b from 0.

    Args:
        input_size: the input size I.
        hidden_size: H, the number of features and of outputs.
        state_size: N, the number of complex states; H by default.
        r_min: the smallest initial modulus of lambda, 0 or above; near 1 for tasks with long memory.
        r_max: the largest one, above r_min and at most 1.
        max_phase: the largest initial phase of lambda, above 0; small for tasks with long memory.

    Shapes: ``nu``, ``theta``, ``gl`` ``[N]``, ``B`` ``[N, H, 2]``, ``C`` ``[H, N, 2]``, real and imaginary parts last,
    ``D`` ``[H]``; if I is not H also ``weight_ih`` V ``[H, I]`` and ``bias`` b ``[H]``. The state is the real and the
    imaginary part of x, ``[B, N]`` each, and u ``[B, H]``.

    Raises:
        ModelError: a hyper-parameter is not in its range.
    """

    version: ClassVar[int] = 2
    family: ClassVar[str] = "state space"
    paper: ClassVar[str] = "Orvieto et al., ICML 2023, arXiv 2303.06349"
    year: ClassVar[int] = 2023
    structured: ClassVar[tuple[str, ...]] = ("nu", "theta", "gl", "B")
    recurrence_class: ClassVar[type[Recurrence]] = ComplexDiagonal

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 6.28,
    ) -> None:
        N = hidden_size if state_size is None else state_size
        super().__init__(input_size, hidden_size, state_size=N, state_width=N)
        if not non_negative("r_min", r_min) < positive("r_max", r_max) <= 1:
            raise ModelError(f"r_max must be above r_min and at most 1; r_min is {r_min!r} and r_max {r_max!r}")
        squares = r_min**2 + (r_max**2 - r_min**2) * torch.rand(N, dtype=torch.float64)
        nu = torch.log(-torch.log(squares) / 2)
        self.nu = real_parameter(nu)
        self.theta = real_parameter(torch.log(positive("max_phase", max_phase) * torch.rand(N, dtype=torch.float64)))
        # 1 - |lambda|^2 by a function that does not cancel where |lambda| is near 1.
        self.gl = real_parameter(torch.log(-torch.expm1(-2 * torch.exp(nu))) / 2)
        self.B = complex_parameter(torch.randn(N, hidden_size, dtype=torch.complex128) / math.sqrt(hidden_size))
        self.C = complex_parameter(torch.randn(hidden_size, N, dtype=torch.complex128) * math.sqrt(2 / N))

    @once_a_scan
    def transition(self) -> Tensor:
        """Lambda, complex, ``[N]``."""
        return torch.exp(torch.complex(-torch.exp(self.nu), torch.exp(self.theta)))

    @once_a_scan
    def drive_weight(self) -> Tensor:
        """The matrix diag(gamma) B as a real one, whose rows are in turns of real and imaginary parts, ``[2 N, H]``."""
        return (torch.exp(self.gl)[:, None, None] * self.B).transpose(1, 2).flatten(0, 1)

    def drive(self, u: Tensor) -> Tensor:
        """Compute gamma * (B u), ``[..., H]`` to ``[..., N]``, complex."""
        return torch.view_as_complex(F.linear(u, self.drive_weight).view(*u.shape[:-1], self.state_size, 2))

    def read(self, x: Tensor) -> Tensor:
        """Compute Re(C x), ``[..., N]``, complex, to ``[..., H]``."""
        C = torch.view_as_complex(self.C)
        # The real part of the complex product: that of (Re x, Im x) with (Re C, -Im C).
        return F.linear(torch.view_as_real(x).flatten(-2), torch.view_as_real(C.conj_physical()).flatten(-2))

    def project(self, x: Tensor) -> Tensor:
        """Compute gamma * (B u), real and imaginary parts, and u, ``[..., I]`` to ``[..., 2 N + H]``."""
        u = self.features(x)
        driven = self.drive(u)
        return torch.cat([driven.real, driven.imag, u], dim=-1)

    def step(self, u: Tensor, state: State) -> State:
        """Advance by one time step, ``u`` ``[B, 2 N + H]``, and x ``[B, N]`` in two parts."""
        x_re, x_im, _ = state
        driven_re, driven_im, u = torch.split(u, [self.state_size, self.state_size, self.hidden_size], dim=-1)
        x = self.transition * torch.complex(x_re, x_im) + torch.complex(driven_re, driven_im)
        return x.real, x.imag, u

    def recurrence(self) -> Recurrence:
        """Return the recurrence, which has no constants."""
        return self.recurrence_class()

    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the input, diag(gamma) B V and that times b, the parts of x, and those of lambda."""
        by_part = torch.cat([self.drive_weight[::2], self.drive_weight[1::2]])
        if self.input_size == self.hidden_size:
            weight, bias = by_part, by_part.new_zeros(len(by_part))
        else:
            weight, bias = by_part @ self.weight_ih, by_part @ self.bias
        transition = self.transition
        return Operands(x, weight, bias, state[:2], vectors=(transition.real, transition.imag))

    def from_scan(self, x: Tensor, sequence: Tensor, last: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Read the states whose outputs are requested, and add the features; see :meth:`FusedCell.from_scan`."""
        u = self.features(x if return_sequence else x[:, -1])
        final = (*last, u[:, -1] if return_sequence else u)
        if not return_sequence:
            return self.output(final), final
        return F.linear(sequence, torch.cat([self.C[..., 0], -self.C[..., 1]], dim=1)) + self.D * u, final

    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Solve the linear recurrence; see :meth:`ParallelCell.scan_in_parallel`."""
        x_re, x_im, _ = state
        u = self.features(x)
        states = linear_recurrence(self.transition[None, None], self.drive(u), torch.complex(x_re, x_im))
        sequence = self.read(states) + self.D * u if return_sequence else u
        last = states[-1]
        return sequence, (last.real, last.imag, u[-1])
