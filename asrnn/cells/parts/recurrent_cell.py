"""Define a recurrent cell: one step of a recurrence, and the scan that runs it over time."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import ClassVar, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from asrnn.cells.parts.once_a_scan import scanning
from asrnn.errors import ModelError
from asrnn.ops import require_loop
from asrnn.shapes import check_precision, check_sequence, check_state, explain_precision_errors, positive_size

P = ParamSpec("P")
R = TypeVar("R")

State = tuple[Tensor, ...]
"""The tensors that a cell carries from step to step, each ``[B, H]`` unless the cell says otherwise."""


def left_out_of_graphs(scan: Callable[P, R]) -> Callable[P, R]:
    """Decorate a scan so that ``torch.compile`` calls it and does not trace its steps or kernels."""
    # torch.compiler.disable does the same, but its import takes a second even if nothing is compiled.
    untraced: Callable[P, R] = torch._disable_dynamo(scan)  # type: ignore[attr-defined]

    @wraps(scan)
    def scan_or_leave(*args: P.args, **kwargs: P.kwargs) -> R:
        return untraced(*args, **kwargs) if torch.compiler.is_dynamo_compiling() else scan(*args, **kwargs)

    return scan_or_leave


class RecurrentCell(nn.Module, ABC):
    """A recurrence state_t = step(project(x_t), state_{t-1}).

    A new cell is a subclass with its parameters, a ``project`` that takes the input side of the equation for
    all time steps at once, and a ``step`` that reads like the equation:

    >>> import torch
    >>> from torch import nn
    >>> from asrnn.cells import RecurrentCell
    >>> class Leaky(RecurrentCell):
    ...     '''h_t = (1 - leak) h_{t-1} + leak tanh(W h_{t-1} + V x_t + b).'''
    ...
    ...     def __init__(self, input_size, hidden_size, *, leak=0.1):
    ...         super().__init__(input_size, hidden_size)
    ...         self.leak = leak
    ...         self.V = nn.Linear(input_size, hidden_size)
    ...         self.W = nn.Linear(hidden_size, hidden_size, bias=False)
    ...
    ...     def project(self, x):
    ...         return self.V(x)
    ...
    ...     def step(self, u, state):
    ...         (h,) = state
    ...         return ((1 - self.leak) * h + self.leak * torch.tanh(self.W(h) + u),)
    >>> cell = Leaky(input_size=3, hidden_size=5)
    >>> output, (h,) = cell.scan(torch.zeros(2, 7, 3))
    >>> output.shape
    torch.Size([2, 5])

    ``step`` is the specification. The default :meth:`scan` is a loop over it. A cell may override ``scan`` with
    something faster that gives the same numbers; :attr:`scan_backend` then names it.

    Args:
        input_size: I, the size of the input at one time step.
        hidden_size: H, the size of the state.
    """

    version: ClassVar[int]
    """The version of the numbers that the cell gives. Raise it when they change; every built-in cell has one."""

    family: ClassVar[str] = ""
    """The kind of recurrence in a word or two, as lists of models show it."""

    paper: ClassVar[str] = ""
    """Authors, venue and arXiv number in one line."""

    year: ClassVar[int | None] = None
    """The year of publication."""

    structured: ClassVar[tuple[str, ...]] = ()
    """Names of parameters that form a matrix on a manifold or a spectrum; papers give them their own learning rate."""

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    """The names of the tensors of the state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = positive_size("input_size", input_size)
        self.hidden_size = positive_size("hidden_size", hidden_size)

    @property
    def output_size(self) -> int:
        """The size of :meth:`output`, which is H unless the cell says otherwise."""
        return self.hidden_size

    @property
    def scan_backend(self) -> str:
        """The name of the scan, ``loop`` for the loop over ``step`` and ``custom`` for a scan of the cell's own."""
        return "loop" if type(self).scan is RecurrentCell.scan and "scan" not in vars(self) else "custom"

    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first step, zeros in the parameters' precision and on their device."""
        like = next(self.parameters(), torch.empty(0))
        return tuple(like.new_zeros(batch_size, self.hidden_size) for _ in self.state_names)

    def project(self, x: Tensor) -> Tensor:
        """Compute the part of the equation that does not depend on the state, ``[..., I]`` to ``[..., K]``."""
        return x

    @abstractmethod
    def step(self, u: Tensor, state: State) -> State:
        """Advance the state by one time step.

        Args:
            u: one time step of the projected input, ``[B, K]``.
            state: the state before the step.

        Returns:
            the state after the step, a tuple of the same shapes.
        """

    def output(self, state: State) -> Tensor:
        """Return the part of a state that the readout sees, ``[B, output_size]``, by default its first tensor."""
        return state[0]

    @left_out_of_graphs
    def scan(
        self, x: Tensor, state: State | list[Tensor] | Tensor | None = None, *, return_sequence: bool = False
    ) -> tuple[Tensor, State]:
        """Run the cell over a sequence.

        Args:
            x: the input, ``[B, T, I]``.
            state: the state before the first step: a tuple or list of its tensors, or one tensor if there is only one;
                :meth:`initial_state` by default.
            return_sequence: return the output of every step, not only of the last one.

        Returns:
            the output, ``[B, H]`` or as a sequence ``[B, T, H]`` (H being :attr:`output_size`), and the state after the
            last step.

        Raises:
            ModelError: the input, the state, or a result of ``project`` or ``step`` has a wrong shape; or the input or
                the state has another precision than the cell, and ``project`` or ``step`` cannot take it.
        """
        require_loop(f"{type(self).__name__} has the loop over step alone")
        before = self._state_for(x, state)
        with explain_precision_errors(x, before[0], type(self).__name__):
            return self._loop(x, before, return_sequence)

    def _loop(self, x: Tensor, state: State, return_sequence: bool) -> tuple[Tensor, State]:
        """Run ``step`` over a sequence; the sequence and the state were checked before."""
        projected = self.project(x.transpose(0, 1))
        if projected.shape[:2] != (x.shape[1], x.shape[0]):
            raise ModelError(
                f"{type(self).__name__}.project must keep the leading axes [{x.shape[1]}, {x.shape[0]}], "
                f"found {list(projected.shape)}"
            )
        outputs = []
        with scanning():
            # unbind: the backward of projected[t] would fill a whole [T, B, K] at every step.
            for t, u in enumerate(projected.unbind(0)):
                before, state = state, self.step(u, state)
                if t == 0:
                    check_state(state, before, self.state_names, f"what {type(self).__name__}.step returns")
                if return_sequence:
                    outputs.append(self.output(state))
        return torch.stack(outputs, dim=1) if return_sequence else self.output(state), state

    def forward(self, x: Tensor, state: State | list[Tensor] | Tensor | None = None) -> tuple[Tensor, State]:
        """Return the outputs of all steps and the final state, ``[B, T, H]`` and a tuple of ``[B, H]``.

        :class:`torch.nn.RNN` differs in three points: its batch comes first only with ``batch_first=True``; it also
        takes a single sequence ``[T, I]`` and a ``PackedSequence``; and its state has an axis of layers before the
        batch, which ``state[0]`` removes.
        """
        return self.scan(x, state, return_sequence=True)

    def num_parameters(self) -> int:
        """Count the learnt degrees of freedom; a complex number has two."""
        return sum(p.numel() * (2 if p.is_complex() else 1) for p in self.parameters() if p.requires_grad)

    def _state_for(self, x: Tensor, state: State | list[Tensor] | Tensor | None) -> State:
        """Check the input of a scan, and return the state that it starts from."""
        check_sequence(x, self.input_size)
        start = self.initial_state(x.shape[0])
        if state is None:
            return start
        given = (state,) if isinstance(state, Tensor) and len(start) == 1 else state
        if isinstance(given, list):
            given = tuple(given)
        check_state(given, start, self.state_names, "the state")  # from here on it is a tuple of tensors
        rounded = x.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(x.device.type)
        if not rounded:  # or a product that autocast rounded may be a state
            check_precision(given, start)  # type: ignore[arg-type]
        return given  # type: ignore[return-value]
