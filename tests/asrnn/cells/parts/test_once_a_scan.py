"""Test that the recurrent weight is built once a scan, for any number of steps, and is never stale."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

from asrnn import RecurrentCell, build_cell
from asrnn.cells.parts.once_a_scan import once_a_scan, scanning
from asrnn.ops import scan_with


class Counting(RecurrentCell):
    """A cell that counts how often its weight is built."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.theta = nn.Parameter(torch.full((hidden_size, hidden_size), 0.1))
        self.built = 0

    @once_a_scan
    def weight(self):
        self.built += 1
        return self.theta - self.theta.T + torch.eye(self.hidden_size)

    def step(self, u, state):
        return (torch.tanh(state[0] @ self.weight.T + u),)


class Outer(RecurrentCell):
    """A cell that scans another one at each step."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.inner = Counting(input_size, hidden_size)

    @once_a_scan
    def weight(self):
        return 2 * self.inner.theta

    def step(self, u, state):
        inner, _ = self.inner.scan(torch.stack([u, u], dim=1))
        return (state[0] @ self.weight + inner,)


@pytest.mark.parametrize("T", [1, 50])
def test_once_a_scan(T: int) -> None:
    cell = Counting(3, 3)
    cell.scan(torch.zeros(2, T, 3))
    assert cell.built == 1
    cell.scan(torch.zeros(2, T, 3))
    assert cell.built == 2


@pytest.mark.parametrize("name", ["antisymmetric", "antisymmetric-gated", "unstructured-gated"])
def test_the_registered_cells_build_theirs_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = build_cell(name, 3, 5)
    weight = type(cell).recurrent_weight
    calls, build = [], weight.build
    monkeypatch.setattr(weight, "build", lambda cell: calls.append(cell) or build(cell))
    cell.scan(torch.zeros(2, 50, 3))
    assert len(calls) == 1


def test_a_value_is_built_at_each_access_outside_of_a_scan() -> None:
    cell = Counting(2, 2)
    before = cell.weight
    with torch.no_grad():
        cell.theta.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    assert cell.built == 1
    assert not torch.equal(cell.weight, before)
    assert cell.weight.tolist() == [[1, 1], [-1, 1]]


def test_the_next_scan_uses_a_changed_parameter() -> None:
    cell, x = Counting(2, 2), torch.ones(1, 3, 2)
    before, _ = cell.scan(x)
    with torch.no_grad():
        cell.theta[0, 1] += 1
    assert not torch.equal(cell.scan(x)[0], before)


def test_a_scan_that_fails_leaves_nothing_behind() -> None:
    cell = Counting(2, 2)

    def fail(u, state):
        assert cell.weight is cell.weight
        raise RuntimeError("in the middle")

    cell.step = fail
    with pytest.raises(RuntimeError, match="in the middle"):
        cell.scan(torch.zeros(1, 3, 2))
    assert cell.weight is not cell.weight


def test_cells_and_nested_scans_have_their_own_values() -> None:
    outer, x = Outer(2, 2), torch.ones(1, 4, 2)
    scanned, _ = outer.scan(x)
    (h,) = outer.initial_state(1)
    for u in x.unbind(1):
        (h,) = outer.step(u, (h,))
    assert torch.equal(scanned, h)
    first, second = Counting(2, 2), Counting(2, 2)
    with torch.no_grad():
        second.theta[0, 1] += 1
    with scanning():
        assert not torch.equal(first.weight, second.weight)


def test_a_subclass_of_the_same_name_reads_both_values() -> None:
    base = Counting

    def subclass():
        class Counting(base):
            @once_a_scan
            def weight(self):
                return 0.5 * super().weight

            def step(self, u, state):
                return (torch.tanh(state[0] @ (self.weight + super().weight).T + u),)

        Counting.weight.build.__qualname__ = base.weight.build.__qualname__
        return Counting

    cell = subclass()(2, 2)
    x = torch.ones(1, 3, 2)
    (h,) = cell.initial_state(1)
    for u in x.unbind(1):
        (h,) = cell.step(u, (h,))
    assert torch.equal(cell.scan(x)[0], h)
    assert cell.built == 3 * 2 + 1


def test_a_value_without_graph_is_not_used_for_a_gradient() -> None:
    cell = Counting(2, 2)
    with scanning():
        with torch.no_grad():
            assert not cell.weight.requires_grad
        assert cell.weight.requires_grad


def test_threads_have_their_own_values() -> None:
    cell, seen = Counting(2, 2), []
    with scanning():
        mine = cell.weight
        thread = threading.Thread(target=lambda: seen.extend([cell.weight, cell.weight]))
        thread.start()
        thread.join()
        assert cell.weight is mine
    assert seen[0] is not mine
    assert seen[0] is not seen[1]  # the other thread is not scanning


def test_it_pickles_and_copies() -> None:
    cell = build_cell("antisymmetric", 2, 3)
    with scanning():
        cell.recurrent_weight  # noqa: B018 - a value that is held must not get into the pickle
        twins = copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))  # noqa: S301 - our own bytes
    for twin in twins:
        assert torch.equal(twin.recurrent_weight, cell.recurrent_weight)


def test_second_derivatives_pass_through_it() -> None:
    cell = build_cell("antisymmetric", 1, 3, epsilon=0.5).double()
    x = torch.ones(1, 4, 1, dtype=torch.float64)
    with scan_with("loop"):
        (slope,) = torch.autograd.grad(cell.scan(x)[0].sum(), cell.weight_hh, create_graph=True)
    slope.square().sum().backward()
    assert cell.weight_hh.grad.abs().max() > 0
