"""Share what LRU and S4D have in common: a diagonal complex state, and an output that also sees the input."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.cells.parts.initialization import input_weight, zero_bias
from asrnn.cells.parts.parallel import ParallelCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.shapes import positive_size


def complex_parameter(values: Tensor) -> nn.Parameter:
    """Store complex values as real ones, in the default precision, with a last axis of (re, im)."""
    return real_parameter(torch.view_as_real(values))


def real_parameter(values: Tensor) -> nn.Parameter:
    """Store values in the default precision; they may have been computed in float64."""
    return nn.Parameter(values.to(torch.get_default_dtype()))


class StateSpaceCell(ParallelCell):
    """x_t = lambda * x_{t-1} + B u_t,   y_t = Re(C x_t) + D * u_t, with x_t complex and H features u_t.

    The features are the input itself if it has H numbers, as within a deep network, and V x + b otherwise. The output
    depends on the present features directly. So the state holds them too, other than in the papers' equations; a step
    overwrites them and does not read them.

    Args:
        input_size: the input size I.
        hidden_size: H, the number of features and of outputs.
        state_size: the state size N.
        state_width: how many complex numbers the state has.
    """

    state_names: ClassVar[tuple[str, ...]] = ("x_re", "x_im", "u")

    def __init__(self, input_size: int, hidden_size: int, *, state_size: int, state_width: int) -> None:
        super().__init__(input_size, hidden_size)
        self.state_size = positive_size("state_size", state_size)
        self.state_width = state_width
        self.D = nn.Parameter(torch.randn(hidden_size))
        if input_size != hidden_size:
            self.weight_ih = input_weight(hidden_size, input_size)
            self.bias = zero_bias(hidden_size)

    @abstractmethod
    def read(self, x: Tensor) -> Tensor:
        """Compute Re(C x), ``[..., state_width]``, complex, to ``[..., H]``."""

    def features(self, x: Tensor) -> Tensor:
        """Compute the features of an input, ``[..., I]`` to ``[..., H]``."""
        return x if self.input_size == self.hidden_size else F.linear(x, self.weight_ih, self.bias)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros, x ``[B, state_width]``, its real part and its imaginary part, and u ``[B, H]``."""
        sizes = (self.state_width, self.state_width, self.hidden_size)
        return tuple(self.D.new_zeros(batch_size, size) for size in sizes)

    def output(self, state: State) -> Tensor:
        """Compute y, ``[B, H]``."""
        x_re, x_im, u = state
        return self.read(torch.complex(x_re, x_im)) + self.D * u
