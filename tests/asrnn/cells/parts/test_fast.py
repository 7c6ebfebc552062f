"""Test that a fast scan runs only while it computes the same as ``step``, ``project`` and ``output``."""

import copy
from functools import partial, wraps

import pytest
import torch
from scan_support import SOURCES, assert_scanned_as_stepped, fold
from torch import nn

from asrnn import RecurrentCell, build_cell, load_model
from asrnn.cells.antisymmetric import Antisymmetric
from asrnn.cells.antisymmetric_gated import AntisymmetricGated
from asrnn.cells.chrono_lstm import ChronoLSTM
from asrnn.cells.cornn import CoRNN
from asrnn.cells.gru import GRU
from asrnn.cells.kru import KRU
from asrnn.cells.lipschitz import Lipschitz
from asrnn.cells.lru import LRU
from asrnn.cells.lstm import LSTM
from asrnn.cells.min_gru import MinGRU
from asrnn.cells.parts.fast import FastCell
from asrnn.cells.parts.fused import FusedCell
from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.rnn import RNN
from asrnn.cells.s4d import S4D
from asrnn.errors import ModelError
from asrnn.ops import GatedResidual, Operands, scan_with
from asrnn.ops.recurrences.vanilla import TanhRNN as SquashedRecurrence

FAST = [name for name, source in SOURCES.items() if issubclass(load_model(source), FastCell)]


class Doubling:
    """A mixin whose step doubles the first part of the state."""

    def step(self, u, state):
        first, *rest = super().step(u, state)
        return (2 * first, *rest)


def with_method(cell_class, name, method):
    """A subclass of the same name with one more method."""
    return type(cell_class.__name__, (cell_class,), {name: method})


def doubled(name):
    """A method that doubles what the method of a base returns."""

    def method(self, *arguments):
        base = type(self).__mro__[1]
        return 2 * getattr(base, name)(self, *arguments)

    return method


SUBCLASSES = {
    **{f"{each.__name__}, step": type("Mixed", (Doubling, each), {}) for each in (LSTM, GRU, RNN, ChronoLSTM, CoRNN)},
    **{f"{each.__name__}, recur": with_method(each, "recur", doubled("recur")) for each in (LSTM, GRU, RNN, KRU)},
    **{
        f"{each.__name__}, {name}": with_method(each, name, doubled(name))
        for each in (GRU, Antisymmetric, LRU)
        for name in ("project", "output")
    },
    "Lipschitz, slope": with_method(Lipschitz, "slope", doubled("slope")),
    "S4D, read": with_method(S4D, "read", doubled("read")),
    "S4D, transition": with_method(S4D, "transition", once_a_scan(lambda cell: 0.5 * S4D.transition.build(cell))),
    "MinGRU, step": with_method(MinGRU, "step", lambda self, u, state: (torch.tanh(MinGRU.step(self, u, state)[0]),)),
    "a mixin between": type("Between", (ChronoLSTM, type("Doubled", (Doubling, LSTM), {})), {}),
}


@pytest.mark.parametrize("name", FAST)
def test_the_cells_themselves_are_scanned_fast(name: str) -> None:
    cell = build_cell(name, 3, 4)
    cell.scan(torch.zeros(2, 5, 3))
    assert cell.scan_backend not in ("loop", "auto", "custom")
    copy.deepcopy(cell).scan(torch.zeros(2, 5, 3))
    assert cell.scan_backend != "loop"


@pytest.mark.parametrize("cell_class", SUBCLASSES.values(), ids=SUBCLASSES)
def test_a_subclass_that_replaces_what_a_step_computes(cell_class: type[RecurrentCell]) -> None:
    torch.manual_seed(0)
    cell = cell_class(3, 4)
    assert cell.scan_backend == "loop"
    assert_scanned_as_stepped(cell, "loop")
    for backend in ("fused", "parallel", "torch"):
        with scan_with(backend), pytest.raises(ModelError, match=f"^the scan back end '{backend}' cannot run this"):
            cell.scan(torch.zeros(2, 5, 3, dtype=torch.float64))


def test_the_message_names_what_was_replaced() -> None:
    with scan_with("torch"), pytest.raises(ModelError) as caught:
        SUBCLASSES["GRU, recur"](3, 4).scan(torch.zeros(2, 5, 3))
    assert str(caught.value) == (
        "the scan back end 'torch' cannot run this scan: GRU replaces recur and brings no layer_class"
    )


@pytest.mark.parametrize("name", FAST)
def test_a_step_that_is_assigned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cell, other = build_cell(name, 3, 4), build_cell(name, 3, 4)
    usual = type(cell).step

    def step(cell, u, state):
        return tuple(part / 2 for part in usual(cell, u, state))

    cell.step = partial(step, cell)
    assert_scanned_as_stepped(cell, "loop")
    cell.scan(torch.zeros(0, 3, 3, dtype=torch.float64))
    other.scan(torch.zeros(2, 5, 3))
    assert other.scan_backend != "loop"
    monkeypatch.setattr(type(other), "step", step)
    assert_scanned_as_stepped(other, "loop")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
def test_a_step_that_is_wrapped_in_the_constructor() -> None:
    class Wrapped(LSTM):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.step = torch.compile(self._step, backend="eager")

        def _step(self, u, state):
            h, c = super().step(u, state)
            return h / 2, c

    assert_scanned_as_stepped(Wrapped(3, 4), "loop")


def test_what_both_scans_read_may_be_replaced() -> None:
    class Scaled(Antisymmetric):
        @once_a_scan
        def recurrent_weight(self):
            return 0.5 * super().recurrent_weight

    class Slower(MinGRU):
        def coefficients(self, *u):
            a, b = super().coefficients(*u)
            return a.sqrt(), b

    class Pushed(GRU):
        def initial_state(self, batch_size):
            return tuple(part + 1 for part in super().initial_state(batch_size))

    assert_scanned_as_stepped(Scaled(3, 4), "fused")
    assert_scanned_as_stepped(Slower(3, 4), "parallel")
    for backend in ("fused", "compiled"):  # which read no coefficients
        with (
            scan_with(backend),
            pytest.raises(ModelError, match=f"'{backend}' cannot run this scan: Slower has parallel"),
        ):
            Slower(3, 4).scan(torch.zeros(2, 5, 3))
    slower, x = Slower(3, 4), torch.ones(2, 5, 3)
    torch.testing.assert_close(slower.scan(x)[0], fold(slower, x, slower.initial_state(2))[0][:, -1])  # in float32 too
    assert_scanned_as_stepped(Pushed(3, 4), "torch")
    cell = Antisymmetric(3, 4)
    cell.epsilon = 0.5
    assert_scanned_as_stepped(cell, "fused")
    cell.recurrent_weight = torch.eye(4, dtype=torch.float64)
    assert_scanned_as_stepped(cell, "fused")


class Tanh(FusedCell):
    """h_t = tanh(W h_{t-1} + V x_t + b), somebody's cell, whose step has a helper and a function of its module."""

    recurrence_class = SquashedRecurrence

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.V = nn.Linear(input_size, hidden_size)
        self.W = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, x):
        return self.V(x)

    def squash(self, a):
        return torch.tanh(a)

    def step(self, u, state):
        return (_recur(self, u, *state),)

    def recurrence(self):
        return self.recurrence_class()

    def operands(self, x, state):
        return Operands(x, self.V.weight, self.V.bias, state, (self.W.weight,))


def _recur(cell, u, h):
    return cell.squash(u + cell.W(h))


def decorated(method):
    @wraps(method)
    def inner(self, *arguments):
        return method(self, *arguments)

    return inner


class Decorated(Tanh):
    """The same, behind a decorator, with its own promise."""

    recurrence_class = SquashedRecurrence

    @decorated
    def step(self, u, state):
        return super().step(u, state)


@pytest.mark.parametrize("base", [Tanh, Decorated])
def test_a_replaced_helper_of_a_users_cell(base: type[RecurrentCell]) -> None:
    class Halved(base):
        def squash(self, a):
            return super().squash(a) / 2

    class Again(Halved):
        recurrence_class = SquashedRecurrence  # which is wrong, but said by name

    assert_scanned_as_stepped(base(3, 4), "fused")
    assert_scanned_as_stepped(Halved(3, 4), "loop")
    cell = base(3, 4)
    cell.squash = lambda a: a / 2
    assert_scanned_as_stepped(cell, "loop")
    again = Again(3, 4)
    again.scan(torch.zeros(2, 5, 3))
    assert again.scan_backend != "loop"


def test_a_subclass_with_a_fast_scan_of_its_own() -> None:
    class Gated(Antisymmetric):
        recurrence_class = GatedResidual

        def step(self, u, state):
            return AntisymmetricGated.step(self, u, state)

    class Sum(MinGRU):
        def step(self, u, state):
            return (state[0] + u[..., : self.hidden_size],)

        def scan_in_parallel(self, x, state, *, return_sequence):
            states = state[0] + self.project(x)[..., : self.hidden_size].cumsum(0)
            return states, (states[-1],)

    class Mixin:
        """A step and its recurrence, of no cell yet."""

        recurrence_class = SquashedRecurrence

        def step(self, u, state):
            return (torch.tanh(u + state[0] @ self.recurrent_weight.T),)

        def recurrence(self):
            return self.recurrence_class()

    class Mixed(Mixin, Antisymmetric):
        pass

    class Twice(Doubling, Mixed):
        pass

    assert_scanned_as_stepped(Gated(3, 4), "fused")
    assert_scanned_as_stepped(Sum(3, 4), "parallel")
    assert_scanned_as_stepped(Mixed(3, 4), "fused")
    assert_scanned_as_stepped(Twice(3, 4), "loop")


def test_a_cell_with_only_the_loop() -> None:
    class Plain(RecurrentCell):
        def step(self, u, state):
            return (torch.tanh(u + state[0]),)

    with scan_with("fused"), pytest.raises(ModelError, match="this scan: Plain has the loop over step alone$"):
        Plain(3, 3).scan(torch.zeros(2, 5, 3))


class LacksItsRecurrence(FusedCell):
    """A cell that was begun: it has a step, and names no class of a recurrence yet."""

    def step(self, u, state):
        return (torch.tanh(u),)

    def recurrence(self):
        raise AssertionError("it has none")

    def operands(self, *words):
        raise AssertionError("it has none")


def test_a_cell_without_a_recurrence_runs_the_loop() -> None:
    cell = LacksItsRecurrence(3, 3)
    cell.scan(torch.zeros(2, 5, 3))
    assert cell.scan_backend == "loop"
