"""Test the construction of stacks: keywords, parameter counts, and mistakes in one line."""

from dataclasses import fields

import pytest
import torch
from torch import nn

from asrnn import RecurrentCell, build_cell, build_model
from asrnn.errors import ModelError, UnknownNameError
from asrnn.stack import Stack, StackOptions

SIZES = {"input_size": 3, "hidden_size": 6, "num_outputs": 4}
STACK = "a stack of it has: num_layers, residual, norm, norm_first, glu, dropout, readout"


class Ones(nn.Module):
    """Maps [B, T, I] to [B, T, H], to the mean over I in every unit."""

    def __init__(self, input_size, hidden_size, times=1):
        super().__init__()
        self.weight = nn.Parameter(torch.full((input_size, times * hidden_size), 1 / input_size))

    def forward(self, x):
        return x @ self.weight


class LastOfOnes(Ones):
    def forward(self, x):
        return super().forward(x)[:, -1]


class Fails(Ones):
    def forward(self, x):
        raise RuntimeError("no")


class Wide(RecurrentCell):
    """h_t = V x_t + h_{t-1} / 2, read out with its square, as a complex state is by two numbers a unit."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.ones(hidden_size, input_size))
        self.asked = []

    @property
    def output_size(self):
        return 2 * self.hidden_size

    def step(self, u, state):
        return (u @ self.weight_ih.T + state[0] / 2,)

    def output(self, state):
        return torch.cat([state[0], state[0] ** 2], dim=-1)

    def scan(self, x, state=None, *, return_sequence=False):
        self.asked.append(return_sequence)
        return super().scan(x, state, return_sequence=return_sequence)

    def num_parameters(self):
        return super().num_parameters() - 1


def test_outputs_wider_than_the_state() -> None:
    model = build_model(Wide, **SIZES, num_layers=2, norm="layer", glu=True)
    first, second = model.recurrence.layers
    assert (first.input_size, second.input_size, model.output_size) == (3, 12, 12)
    assert model(torch.randn(2, 5, 3)).shape == (2, 4)
    # A cell may count fewer degrees of freedom than it stores; norms and gates are 2 * 12 + 12 * 24 + 24 each.
    assert model.num_recurrent_parameters() == (6 * 3 - 1) + (6 * 12 - 1) + 2 * (24 + 288 + 24)
    model.recurrence.encoder = nn.Linear(3, 3).requires_grad_(False)
    assert model.num_recurrent_parameters() == (6 * 3 - 1) + (6 * 12 - 1) + 2 * (24 + 288 + 24)
    with pytest.raises(ModelError) as caught:
        build_model(Wide, **SIZES, residual=True)
    assert str(caught.value) == (
        "a residual stack adds a layer's output to its input, of hidden_size = 6 numbers, "
        "but Wide gives out 12: build it with residual=False"
    )


@pytest.mark.parametrize(
    ("options", "readout", "asked"),
    [
        ({}, "last", [True, False]),
        ({}, "mean", [True, True]),
        ({"norm": "layer", "glu": True, "dropout": 0.1}, "last", [True, False]),
        ({"norm": "batch", "norm_first": True}, "last", [True, False]),
        ({"norm": "batch"}, "last", [True, True]),
    ],
)
def test_the_last_layer_computes_only_what_the_readout_reads(options: dict, readout: str, asked: list[bool]) -> None:
    model = build_model(Wide, **SIZES, num_layers=2, readout=readout, **options)
    for layer in model.recurrence.layers:
        layer.asked.clear()
    model(torch.randn(2, 5, 3))
    assert [layer.asked for layer in model.recurrence.layers] == [[whole] for whole in asked]


def test_the_names_of_different_back_ends() -> None:
    class Loop(Wide):
        scan_backend = "loop"

    def build_layer(size: int) -> nn.Module:
        return next(layers)(size, 3)

    layers = iter([Ones, Wide, nn.Identity, Loop])
    stack = Stack(build_layer, 2, 3, StackOptions(num_layers=2))
    assert stack.scan_backend == "module+custom"
    layers = iter([Loop, Loop])
    assert Stack(build_layer, 2, 3, StackOptions(num_layers=2)).scan_backend == "loop"
    model = build_model("antisymmetric", **SIZES, num_layers=2)
    assert model.scan_backend == model.recurrence.layers[1].scan_backend != "auto"


def test_the_sizes_of_each_layer() -> None:
    model = build_model("antisymmetric", **SIZES, num_layers=3, epsilon=0.25, residual=True, seed=1)
    cells = model.recurrence.layers
    assert [(cell.epsilon, cell.input_size) for cell in cells] == [(0.25, 6)] * 3
    assert not torch.equal(cells[0].weight_hh, cells[1].weight_hh)
    again = build_model("antisymmetric", **SIZES, num_layers=3, epsilon=0.25, residual=True, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    cells = build_model("antisymmetric", **SIZES, num_layers=3).recurrence.layers
    assert [cell.input_size for cell in cells] == [3, 6, 6]


@pytest.mark.parametrize("name", ["antisymmetric", "lstm"])
def test_default_options_build_the_cell_alone(name: str) -> None:
    model = build_model(name, **SIZES, **{f.name: f.default for f in fields(StackOptions)}, readout="last", seed=3)
    assert type(model.recurrence) is type(build_cell(name, 3, 6))
    plain = build_model(name, **SIZES, seed=3)
    assert model.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 5, 3)
    assert torch.equal(model(x), plain(x))
    # The draws of a model are the cell's, then the readout's, and no other.
    torch.manual_seed(5)
    cell, readout = build_cell(name, 3, 6), nn.Linear(6, 4)
    torch.manual_seed(5)
    model = build_model(name, **SIZES)
    expected = [*cell.parameters(), *readout.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected, strict=True))


def test_other_modules_can_be_stacked_if_they_return_sequences() -> None:
    model = build_model(nn.GRU, **SIZES, residual=True, norm="rms", norm_first=True, readout="mean")
    assert isinstance(model.recurrence.layers[0], nn.GRU)
    assert model.scan_backend == "module"
    assert model(torch.randn(2, 5, 3)).shape == (2, 4)
    for options in ({"num_layers": 2}, {"readout": "mean"}, {"norm": "batch"}):
        with pytest.raises(ModelError) as caught:
            build_model(LastOfOnes, **SIZES, **options)
        assert str(caught.value) == (
            "LastOfOnes returns its last state alone, [B, H] = [2, 6]: to be stacked, or read by its mean, "
            "it must return the states of all steps, [B, T, H] = [2, 3, 6]"
        )
    build_model(LastOfOnes, **SIZES, dropout=0.1, norm="layer")
    with pytest.raises(ModelError) as caught:
        build_model(Ones, **SIZES, num_layers=2, times=2)
    assert str(caught.value) == (
        "Ones must return [B, T, H] = [2, 3, 6], or a tuple that begins with it; found [2, 3, 12]"
    )


def test_a_keyword_that_the_class_names_is_passed_to_the_class() -> None:
    class Normed(Ones):
        def __init__(self, input_size, hidden_size, *, norm="mine"):
            super().__init__(input_size, hidden_size)
            self.norm = norm

    class Open(nn.Module):
        def __init__(self, input_size, hidden_size, **options):
            super().__init__()
            self.inner = nn.GRU(input_size, hidden_size, **options)

        def forward(self, x):
            return self.inner(x)

    model = build_model(Normed, **SIZES, norm="yours", num_layers=2)
    assert [layer.norm for layer in model.recurrence.layers] == ["yours", "yours"]
    model = build_model(nn.LSTM, **SIZES, num_layers=2, dropout=0.5, glu=True)
    assert [(layer.num_layers, layer.dropout) for layer in model.recurrence.layers] == [(2, 0.5)]
    # An open **kwargs has no names: the stack's options stay the stack's, and the readout's its own.
    model = build_model(Open, **SIZES, num_layers=4, residual=True, norm="layer", readout="mean", batch_first=True)
    assert [layer.inner.num_layers for layer in model.recurrence.layers] == [1] * 4
    assert model.pooling == "mean"
    assert model.recurrence.encoder is not None
    with pytest.raises(ModelError, match=r"^Open\(3, 6\) failed: TypeError: .*'glue'"):
        build_model(Open, **SIZES, glue=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "num_layers must be a positive integer, not 0"),
        ({"num_layers": 1.0}, "num_layers must be a positive integer, not 1.0"),
        ({"residual": 1}, "residual must be true or false, not 1"),
        ({"norm_first": "yes", "norm": "rms"}, "norm_first must be true or false, not 'yes'"),
        ({"glu": None}, "glu must be true or false, not None"),
        ({"norm": "leyer"}, "unknown norm 'leyer'; did you mean 'layer'? there is: batch, layer, none, rms"),
        ({"norm": True}, "unknown norm 'True'; there is: batch, layer, none, rms"),
        ({"norm_first": True}, "norm_first needs a norm: norm must be layer, batch or rms"),
        ({"dropout": 1}, "dropout must be a number of at least 0 and below 1, not 1"),
        ({"dropout": -0.1}, "dropout must be a number of at least 0 and below 1, not -0.1"),
        ({"dropout": float("nan")}, "dropout must be a number of at least 0 and below 1, not nan"),
        ({"dropout": "0.1"}, "dropout must be a number of at least 0 and below 1, not '0.1'"),
        ({"dropout": False}, "dropout must be a number of at least 0 and below 1, not False"),
        ({"readout": "men"}, "unknown readout 'men'; did you mean 'mean'? there is: last, mean"),
        (
            {"dropuot": 0.1},
            f"LSTM has no hyper-parameter 'dropuot'; did you mean 'dropout'? it has: sigma_w; {STACK}",
        ),
        (
            {"sigma": 0.1, "num_layers": 2},
            f"LSTM has no hyper-parameter 'sigma'; did you mean 'sigma_w'? it has: sigma_w; {STACK}",
        ),
    ],
    ids=str,
)
def test_mistakes(options: dict, message: str) -> None:
    with pytest.raises((ModelError, UnknownNameError)) as caught:
        build_model("lstm", **SIZES, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_norm_over_one_number_is_refused(norm: str) -> None:
    sizes = {"input_size": 1, "hidden_size": 4, "num_outputs": 2}
    with pytest.raises(ModelError, match=f"^norm='{norm}' of a single number leaves its sign at most: "):
        build_model("rnn", **sizes, norm=norm, norm_first=True)
    build_model("rnn", **sizes, norm=norm, norm_first=True, residual=True)
    build_model("rnn", **sizes, norm=norm)
    build_model("rnn", **sizes, norm="batch", norm_first=True)


def test_the_trial_does_not_change_a_stack() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    model = build_model("rnn", **SIZES, num_layers=2, norm="batch", dropout=0.5, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for block in model.recurrence.blocks:
        assert block.norm.num_batches_tracked.item() == 0
        assert not block.norm.running_mean.any()
    assert all(module.training for module in model.modules())
    with pytest.raises(
        ModelError, match=r"^Fails failed on an input \[2, 3, 3\]: RuntimeError: no \(line \d+ of test_st"
    ):
        build_model(Fails, **SIZES, num_layers=2)
