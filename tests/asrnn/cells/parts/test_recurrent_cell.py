"""Test what every cell inherits: the default scan, its checks, and the messages for mistakes in a new cell."""

import pytest
import torch
from scan_support import SOURCES
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from asrnn import RecurrentCell, build_cell, build_model
from asrnn.errors import ModelError


class Sum(RecurrentCell):
    """h_t = h_{t-1} + x_t, with neither parameters nor a project of its own."""

    def step(self, u, state):
        return (state[0] + u,)


class Pair(RecurrentCell):
    """Two tensors of state, of which the second is read out."""

    state_names = ("position", "velocity")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.ones(()))

    def step(self, u, state):
        position, velocity = state
        velocity = velocity + self.scale * u
        return position + velocity, velocity

    def output(self, state):
        return state[1]


def test_the_default_projection_is_the_input_itself() -> None:
    x = torch.arange(12.0).reshape(2, 3, 2)
    sequence, (h,) = Sum(2, 2)(x)
    assert torch.equal(sequence, x.cumsum(1))
    assert torch.equal(h, x.sum(1))


def test_output_is_what_the_readout_sees() -> None:
    x = torch.ones(1, 4, 3)
    last, (position, velocity) = Pair(3, 3).scan(x)
    assert last.tolist() == velocity.tolist() == [[4.0] * 3]
    assert position.tolist() == [[10.0] * 3]


def test_forward_is_the_scan_of_the_sequence() -> None:
    cell = build_cell("feedback", 3, 4)
    x = torch.randn(2, 5, 3)
    sequence, (h,) = cell(x)
    assert sequence.shape == (2, 5, 4)
    assert torch.equal(sequence[:, -1], h)


def test_initial_state_follows_the_parameters() -> None:
    state = Pair(3, 4).double().initial_state(5)
    assert len(state) == 2
    for part in state:
        assert part.shape == (5, 4)
        assert part.dtype == torch.float64
        assert not part.any()
    assert build_cell("lstm", 3, 4).to("meta").initial_state(2)[1].device.type == "meta"


@pytest.mark.parametrize("name", ["feedback", "lstm"])
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 4), (2, 0, 3), (2, 5, 3, 1)])
def test_input_of_a_wrong_shape(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell(name, 3, 4).scan(torch.zeros(shape))
    assert str(caught.value) == f"expected a sequence [B, T, 3] with T >= 1, found {list(shape)}"


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (torch.zeros(2, 4), "a Tensor"),
        ((torch.zeros(2, 4),), "([2, 4])"),
        ([torch.zeros(2, 4)], "([2, 4])"),
        ((torch.zeros(2, 4), torch.zeros(3, 4)), "([2, 4], [3, 4])"),
        (
            (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)),
            "([1, 2, 4], [1, 2, 4]): the state has no axis of layers here, take part[0] of each",
        ),
        (None, None),
    ],
)
def test_state_of_a_wrong_shape(state: object, found: str | None) -> None:
    cell = build_cell("lstm", 3, 4)
    if found is None:
        cell.scan(torch.zeros(2, 5, 3), None)
        return
    with pytest.raises(ModelError) as caught:
        cell.scan(torch.zeros(2, 5, 3), state)
    expected = "the state must be a tuple of tensors (h [2, 4], c [2, 4]), found "
    assert str(caught.value) == expected + found


EVERY = pytest.mark.parametrize("name", SOURCES)


@EVERY
def test_a_list_or_a_single_tensor_is_a_state(name: str) -> None:
    cell, x = build_cell(name, 3, 4, seed=0), torch.ones(2, 5, 3)
    state = tuple(torch.full_like(part, 0.5) for part in cell.initial_state(2))
    expected, _ = cell.scan(x, state)
    assert torch.equal(cell.scan(x, list(state))[0], expected)
    if len(state) == 1:
        assert torch.equal(cell.scan(x, state[0])[0], expected)
        assert torch.equal(cell(x, state[0])[0][:, -1], cell(x, state)[0][:, -1])


@EVERY
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.uint8])
def test_another_precision_is_refused_in_one_line(name: str, dtype: torch.dtype) -> None:
    cell, x = build_cell(name, 3, 4), torch.ones(2, 5, 3)
    word = str(dtype).removeprefix("torch.")
    with pytest.raises(ModelError) as caught:
        cell.scan(x.to(dtype))
    assert str(caught.value) == (
        f"the input is {word} and {type(cell).__name__} float32: cast one, by x.to(torch.float32)"
    )
    if dtype.is_floating_point:
        with pytest.raises(ModelError, match=f"^the state is {word} and the cell float32: cast one to the other's"):
            cell.scan(x, tuple(part.to(dtype) for part in cell.initial_state(2)))


def test_an_unrelated_error_is_not_reported_as_one_of_precision() -> None:
    class Embeds(Sum):
        def project(self, x):
            raise RuntimeError("index out of range")

    with pytest.raises(RuntimeError, match="^index out of range$"):
        Embeds(3, 3).scan(torch.ones(2, 5, 3, dtype=torch.int64))


@pytest.mark.parametrize("name", ["feedback", "lru", "lstm", "lmu"])
def test_an_input_that_is_no_sequence_is_refused_in_one_line(name: str) -> None:
    x = torch.ones(2, 5, 3)
    wrong = {
        "found a PackedSequence: unpack it by torch.nn.utils.rnn.pad_packed_sequence": pack_sequence([x[0], x[1, :2]]),
        "found a list: make it one by torch.as_tensor": x.tolist(),
        "found a ndarray: make it one by torch.as_tensor": x.numpy(),
        r"found \[5, 3\]: a single sequence is a batch of one, x.unsqueeze\(0\)": x[0],
    }
    for message, given in wrong.items():
        with pytest.raises(ModelError, match=message):
            build_cell(name, 3, 4)(given)
        with pytest.raises(ModelError, match=message):
            build_model(name, input_size=3, hidden_size=4, num_outputs=2)(given)


def test_a_step_that_forgets_the_tuple() -> None:
    class Forgetful(Sum):
        def step(self, u, state):
            return state[0] + u

    with pytest.raises(ModelError, match=r"^what Forgetful.step returns must be a tuple .*found a Tensor$"):
        Forgetful(3, 3).scan(torch.zeros(2, 5, 3))


def test_a_step_that_changes_the_shape() -> None:
    class Growing(Sum):
        def step(self, u, state):
            return (torch.cat([state[0], u], dim=-1),)

    with pytest.raises(ModelError, match=r"^what Growing.step returns .*\(h \[2, 3\]\), found \(\[2, 6\]\)$"):
        Growing(3, 3).scan(torch.zeros(2, 5, 3))


def test_a_projection_that_loses_time() -> None:
    class Flat(Sum):
        def project(self, x):
            return x.flatten(0, 1)

    with pytest.raises(ModelError, match=r"^Flat.project must keep the leading axes \[5, 2\], found \[10, 3\]$"):
        Flat(3, 3).scan(torch.zeros(2, 5, 3))


def test_a_cell_without_a_step_cannot_be_built() -> None:
    class Empty(RecurrentCell):
        pass

    with pytest.raises(TypeError, match="step"):
        Empty(3, 3)


@pytest.mark.parametrize("size", [0, -1, 1.0, "3", True])
def test_sizes_are_positive_integers(size: object) -> None:
    with pytest.raises(ModelError, match="hidden_size must be a positive integer"):
        Sum(3, size)
    with pytest.raises(ModelError, match="input_size must be a positive integer"):
        Sum(size, 3)


def test_scan_backends() -> None:
    class Own(Sum):
        def scan(self, x, state=None, *, return_sequence=False):
            return super().scan(x, state, return_sequence=return_sequence)

    assert Sum(3, 3).scan_backend == "loop"
    assert Own(3, 3).scan_backend == "custom"
    assert build_cell("gru", 3, 3).scan_backend == "auto"


class ComplexState(RecurrentCell):
    """A cell whose step fails for a reason of its own."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> tuple[torch.Tensor]:
        return (torch.zeros(batch_size, self.hidden_size, dtype=torch.complex64),)

    def step(self, u, state):
        return (state[0] + None,)


def test_an_error_of_a_complex_cell_is_not_changed() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        ComplexState(3, 4).scan(torch.zeros(2, 5, 3))
