"""Test models: parameter counts, seeds, readouts, devices, precisions, and modules that are no cells."""

import pytest
import torch
from sequence_modules import SIZES, SequenceModule
from torch import nn

from asrnn import RecurrentCell, RecurrentModel, build_cell, build_model
from asrnn.errors import ModelError
from asrnn.ops import scan_with


@pytest.mark.parametrize(
    ("name", "n", "m", "count"),
    [
        ("antisymmetric", 128, 1, 9_674),
        ("antisymmetric", 256, 3, 36_234),
        ("antisymmetric-gated", 128, 1, 9_930),
        ("antisymmetric-gated", 256, 3, 37_258),
        ("unstructured-gated", 196, 3, 41_954),
        ("lstm", 128, 1, 68_362),
        ("gru", 128, 1, 3 * 128 * (128 + 1 + 2) + 1290),
        ("rnn", 128, 1, 128 * (128 + 1 + 2) + 1290),
        ("feedback", 128, 1, 128 * (128 + 1 + 1) + 1290),
    ],
)
def test_parameter_counts(name: str, n: int, m: int, count: int) -> None:
    model = build_model(name, input_size=m, hidden_size=n, num_outputs=10)
    assert model.num_parameters() == count
    assert model.num_recurrent_parameters() == count - (10 * n + 10)


def test_the_readout_is_linear_on_the_last_state() -> None:
    model = build_model("antisymmetric", **SIZES, epsilon=0.5)
    x = torch.randn(2, 7, 3)
    last, _ = model.recurrence.scan(x)
    expected = last @ model.readout.weight.T + model.readout.bias
    torch.testing.assert_close(model(x), expected)  # float32 sums of 6 terms in two orders: torch's default
    with pytest.raises(ModelError, match=r"^expected a sequence \[B, T, 3\] with T >= 1, found \[2, 7, 2\]$"):
        model(x[..., :2])


def test_a_seed_fixes_the_initialisation_and_does_not_change_the_generator() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = build_model("lstm", **SIZES, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    two, other = build_model("lstm", **SIZES, seed=7), build_model("lstm", **SIZES, seed=8)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.readout.weight, other.readout.weight)
    assert not torch.equal(one.recurrence.layer.weight_hh_l0, other.recurrence.layer.weight_hh_l0)


def test_without_a_seed_the_global_generator_decides() -> None:
    torch.manual_seed(1)
    one, two = build_model("rnn", **SIZES), build_model("rnn", **SIZES)
    torch.manual_seed(1)
    again = build_model("rnn", **SIZES)
    assert torch.equal(one.readout.weight, again.readout.weight)
    assert not torch.equal(one.readout.weight, two.readout.weight)


class LastState(SequenceModule):
    def forward(self, x):
        return super().forward(x)[:, -1]


class NestedTuple(SequenceModule):
    def forward(self, x):
        return super().forward(x), {"anything": None}


class ListOfOne(SequenceModule):
    def forward(self, x):
        return [super().forward(x)]


@pytest.mark.parametrize("module", [SequenceModule, LastState, NestedTuple, ListOfOne])
def test_modules_that_are_no_cells(module: type[nn.Module]) -> None:
    model = build_model(module, **SIZES, scale=2.0)
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    expected = model.readout(2 * x[:, -1].sum(-1, keepdim=True).expand(2, 5))
    torch.testing.assert_close(model(x), expected)  # float32 sums of 5 terms in two orders: torch's default
    assert model.scan_backend == "module"
    assert model.num_recurrent_parameters() == 15


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_torch_layers_are_batch_first(layer: type[nn.Module]) -> None:
    model = build_model(layer, **SIZES, num_layers=2)
    assert model.recurrence.batch_first
    x = torch.randn(2, 6, 3)
    changed = x.clone()
    changed[1] += 1
    assert torch.equal(model(x)[0], model(changed)[0])
    assert not torch.equal(model(x)[1], model(changed)[1])


def test_a_module_may_have_an_output_size_other_than_h() -> None:
    class Both(SequenceModule):
        output_size = 10

        def forward(self, x):
            return torch.cat([super().forward(x), -super().forward(x)], dim=-1)

    model = build_model(Both, **SIZES, num_layers=2)
    assert model.output_size == 10
    assert model.recurrence.layers[1].weight.shape == (10, 5)
    assert build_model(nn.LSTM, **SIZES, bidirectional=True).output_size == 10
    assert build_model(nn.GRU, **SIZES).output_size == 5


def test_device_and_precision() -> None:
    x = torch.zeros(2, 3, 3, dtype=torch.float64)
    model = build_model("gru", **SIZES, seed=1, dtype=torch.float64)
    assert torch.equal(model(x), build_model("gru", **SIZES, seed=1).double()(x))
    cell = build_cell("lru", 3, 5, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.float64)}
    with pytest.raises(ModelError, match=r"^dtype must be a floating point type, such as torch.float64, not torch.int"):
        build_cell("gru", 3, 5, dtype=torch.int64)


class Complex(SequenceModule):
    """Weights in complex64, and a state dict that holds what is no tensor."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.turn = nn.Parameter(torch.ones(hidden_size, dtype=torch.complex64))

    def forward(self, x):
        return (super().forward(x) * self.turn).real

    def get_extra_state(self):
        return {"anything": None}

    def set_extra_state(self, state):
        assert state == {"anything": None}


class ComplexCell(RecurrentCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.turn = nn.Parameter(torch.ones(hidden_size, dtype=torch.complex64))

    def initial_state(self, batch_size):
        return (torch.zeros(batch_size, self.hidden_size),)

    def step(self, u, state):
        return ((self.turn * state[0]).real + u.sum(-1, keepdim=True),)


def test_a_complex_number_counts_twice() -> None:
    model = build_model(Complex, **SIZES, seed=0)
    assert model.num_recurrent_parameters() == 15 + 10
    assert build_model(Complex, **SIZES, num_layers=2).num_recurrent_parameters() == 15 + 25 + 2 * 10
    assert build_model(ComplexCell, **SIZES).num_recurrent_parameters() == 10
    double = build_model(Complex, **SIZES, seed=0, dtype=torch.float64)
    assert double.recurrence.turn.dtype == torch.complex128
    double.load_state_dict(model.state_dict())


def test_hooks_and_an_overridden_forward_of_a_cell_run() -> None:
    class Shifted(type(build_cell("rnn", 3, 5))):
        def forward(self, x, state=None):
            return super().forward(x + 1, state)

    x = torch.zeros(2, 6, 3)
    model = build_model(Shifted, **SIZES, seed=0)
    # The product of a tensor that lies otherwise in memory may round otherwise; the shift itself changes a tenth.
    torch.testing.assert_close(model(x), build_model("rnn", **SIZES, seed=0)(x + 1), rtol=1e-5, atol=1e-6)
    model = build_model("rnn", **SIZES, seed=0)
    seen = []
    handle = model.recurrence.register_forward_hook(lambda cell, arguments, output: seen.append(output[0].shape))
    expected = model(x)
    assert seen == [(2, 6, 5)]
    handle.remove()
    assert torch.equal(model(x), expected)
    assert len(seen) == 1


def test_scan_backends() -> None:
    with scan_with("loop"):
        model = build_model("antisymmetric", **SIZES)
    assert model.scan_backend == "loop"
    model.double()(torch.zeros(1, 2, SIZES["input_size"], dtype=torch.float64))
    assert model.scan_backend == "fused"
    assert build_model("lstm", **SIZES, dtype=torch.float64).scan_backend == "torch"


def test_a_model_is_a_module_like_any_other() -> None:
    model = RecurrentModel(nn.GRU(3, 5, batch_first=True), **SIZES).double()
    other = RecurrentModel(nn.GRU(3, 5, batch_first=True), **SIZES).double()
    other.load_state_dict(model.state_dict())
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    assert torch.equal(other(x), model(x))
    assert model(x).shape == (2, 4)
