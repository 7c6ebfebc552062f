"""Models: readouts, adapters for modules that are no cells, and mistakes that are reported in one line."""

from threading import Lock

import numpy as np
import pytest
import torch
from torch import nn

from asrnn import RecurrentCell, RecurrentModel, build_cell, build_model, find_model
from asrnn.errors import ModelError, UnknownNameError
from asrnn.models import assemble
from asrnn.ops import scan_with

SIZES = {"input_size": 3, "hidden_size": 5, "num_outputs": 4}


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


def test_hyper_parameters_reach_the_cell() -> None:
    cell = build_cell("antisymmetric", 3, 5, epsilon=0.25, gamma=0.5)
    assert (cell.epsilon, cell.gamma) == (0.25, 0.5)


def test_a_seed_fixes_the_initialisation_and_leaves_the_generator_alone() -> None:
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


def test_names_sources_and_classes_build_the_same_model() -> None:
    source = find_model("antisymmetric")
    models = [build_model(ref, **SIZES, seed=0) for ref in ("antisymmetric", source, source.target)]
    models.append(build_model(type(models[0].recurrence), **SIZES, seed=0))
    x = torch.randn(2, 4, 3)
    for model in models[1:]:
        assert torch.equal(model(x), models[0](x))


class SequenceModule(nn.Module):
    """Maps [B, T, I] to [B, T, H] by a product with ones; subclasses return it in other ways."""

    def __init__(self, input_size, hidden_size, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.ones(input_size, hidden_size))

    def forward(self, x):
        return x @ self.weight


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


class WrongBatch(SequenceModule):
    def forward(self, x):
        return super().forward(x)[:1]


class WrongSize(SequenceModule):
    def forward(self, x):
        return super().forward(x)[..., :4]


class WrongTime(SequenceModule):
    def forward(self, x):
        return super().forward(x)[:, ::2]


class TooManyAxes(SequenceModule):
    def forward(self, x):
        return super().forward(x)[None]


class NotATensor(SequenceModule):
    def forward(self, x):
        return {"state": super().forward(x)}


class Nothing(SequenceModule):
    def forward(self, x):
        return ()


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (WrongBatch, "[1, 3, 5]"),
        (WrongSize, "[2, 3, 4]"),
        (WrongTime, "[2, 2, 5]"),
        (TooManyAxes, "[1, 2, 3, 5]"),
        (NotATensor, "a dict"),
        (Nothing, "a tuple"),
    ],
)
def test_a_module_that_returns_a_wrong_shape(module: type[nn.Module], found: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_model(module, **SIZES)
    assert str(caught.value) == (
        f"{module.__name__} must return [B, T, H] = [2, 3, 5], [B, H] = [2, 5], "
        f"or a tuple that begins with one of these; found {found}"
    )


def test_a_shape_that_goes_wrong_later_is_reported_too() -> None:
    class Late(SequenceModule):
        def forward(self, x):
            return super().forward(x) if x.shape[1] < 10 else x

    model = build_model(Late, **SIZES)
    with pytest.raises(ModelError, match=r"^Late must return .*found \[2, 10, 3\]$"):
        model(torch.zeros(2, 10, 3))


class Stateful(SequenceModule):
    """Changes whatever a module can change, at every call."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(input_size)
        self.frozen = nn.Dropout(0.5).eval()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.count, self.lengths, self.kept = 0, [], {}

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + 1
        self.count += 1
        self.lengths.append(x.shape[1])
        self.kept["x"] = self.last = x
        torch.rand(1)
        return super().forward(self.norm(x.transpose(1, 2)).transpose(1, 2))


class Uncopied(Stateful):
    """The same with a lock, which cannot be copied."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.lock = Lock()


@pytest.mark.parametrize("module", [Stateful, Uncopied])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}])
def test_the_probe_leaves_no_trace(module: type[nn.Module], options: dict) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    model = build_model(module, **SIZES, **options, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    layers = model.recurrence.layers if options else [model.recurrence]
    for layer in layers:
        assert layer.calls.item() == layer.replaced.item() == layer.count == 0
        assert (layer.lengths, layer.kept) == ([], {})
        assert not hasattr(layer, "last")
        assert layer.norm.num_batches_tracked.item() == 0
        assert layer.norm.training
        assert not layer.frozen.training
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model(torch.zeros(2, 3, 3)).requires_grad
    assert layers[0].count == layers[0].calls.item() == 1


class Lazy(nn.Module):
    """Learns how large its input is, and draws its weights, at its first run."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.inner = nn.LazyLinear(hidden_size)

    def forward(self, x):
        return self.inner(x)


class SeedsItself(SequenceModule):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        torch.manual_seed(42)
        self.drawn = nn.Parameter(torch.randn(hidden_size))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}])
def test_weights_that_are_drawn_late_are_those_of_the_seed(options: dict) -> None:
    one, two, other = (build_model(Lazy, **SIZES, **options, seed=seed) for seed in (3, 3, 4))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_a_model_that_seeds_itself_leaves_the_generator_alone() -> None:
    one, other = (build_model(SeedsItself, **SIZES, seed=seed) for seed in (0, 1))
    assert torch.equal(one.recurrence.drawn, other.recurrence.drawn)
    assert not torch.equal(one.readout.weight, other.readout.weight)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    build_cell("rnn", 3, 5, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    first = torch.rand(1)
    torch.manual_seed(7)
    with pytest.raises(ModelError, match="is not a RecurrentCell"):
        build_cell(SeedsItself, 3, 5)
    assert torch.equal(torch.rand(1), first)


def test_sizes_are_handed_over_by_name() -> None:
    def with_signature(init) -> type[nn.Module]:
        return type("Named", (SequenceModule,), {"__init__": init})

    def keywords_only(self, *, input_size, hidden_size):
        SequenceModule.__init__(self, input_size, hidden_size)

    def swapped(self, hidden_size, input_size, scale=1.0):
        SequenceModule.__init__(self, input_size, hidden_size, scale)

    def one_name(self, hidden_size, features):
        SequenceModule.__init__(self, features, hidden_size)

    def positions_only(self, first, second, /):
        SequenceModule.__init__(self, first, second)

    def other_names(self, n_in, n_hidden):
        SequenceModule.__init__(self, n_in, n_hidden)

    def handed_on(self, *args, **kwargs):
        SequenceModule.__init__(self, *args, **kwargs)

    for init in (keywords_only, swapped, one_name, positions_only, other_names, handed_on):
        assert build_model(with_signature(init), **SIZES).recurrence.weight.shape == (3, 5), init
    assert build_model(type("Inner", (with_signature(swapped),), {}), **SIZES, scale=2.0).recurrence.weight[0, 0] == 2

    class HandsOn(with_signature(keywords_only)):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    assert build_model(HandsOn, **SIZES).recurrence.weight.shape == (3, 5)


def test_a_module_may_give_out_another_size_than_h() -> None:
    class Both(SequenceModule):
        output_size = 10

        def forward(self, x):
            return torch.cat([super().forward(x), -super().forward(x)], dim=-1)

    model = build_model(Both, **SIZES, num_layers=2)
    assert model.output_size == 10
    assert model.recurrence.layers[1].weight.shape == (10, 5)
    assert build_model(nn.LSTM, **SIZES, bidirectional=True).output_size == 10
    assert build_model(nn.GRU, **SIZES).output_size == 5


@pytest.mark.parametrize("name", ["seed", "model", "num_outputs", "device", "hyper"])
def test_hyper_parameters_that_are_called_as_arguments_are(name: str) -> None:
    class Named(SequenceModule):
        pass

    exec(f"def __init__(self, input_size, hidden_size, {name}=1.0):\n    self.build(input_size, hidden_size, {name})")
    Named.__init__ = locals()["__init__"]
    Named.build = lambda self, i, h, value: SequenceModule.__init__(self, i, h, value)
    model = assemble(Named, {name: 3.0}, **SIZES, seed=0)
    assert model.recurrence.weight[0, 0] == 3
    if name in ("model", "hyper"):
        assert build_model(Named, **SIZES, **{name: 3.0}).recurrence.weight[0, 0] == 3


@pytest.mark.parametrize("size", [np.int64, np.int32, np.uint8])
def test_scalars_of_numpy(size) -> None:
    sizes = {name: size(value) for name, value in SIZES.items()}
    hyper = {"epsilon": np.float32(0.25), "gamma": np.float64(0.5), "num_layers": size(2), "residual": np.bool_(True)}
    model = build_model("antisymmetric", **sizes, **hyper, dropout=np.float32(0.25), norm=np.str_("layer"), seed=1)
    plain = {"epsilon": 0.25, "gamma": 0.5, "num_layers": 2, "residual": True, "dropout": 0.25, "norm": "layer"}
    expected = build_model("antisymmetric", **SIZES, **plain, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    cell = build_cell("indrnn", size(3), size(5), num_steps=size(9), mag=np.float32(2.0))
    assert type(cell.hidden_size) is int
    assert cell.bound == 2 ** (1 / 9)
    for wrong in (np.bool_(True), np.float64(3.0), np.int64(0), torch.tensor(3)):
        with pytest.raises(ModelError, match="^hidden_size must be a positive integer, not "):
            build_cell("rnn", 3, wrong)
    with pytest.raises(ModelError, match="^epsilon must be a finite number above 0, not True$"):
        build_cell("antisymmetric", 3, 5, epsilon=np.bool_(True))


def test_device_and_precision() -> None:
    x = torch.zeros(2, 3, 3, dtype=torch.float64)
    model = build_model("gru", **SIZES, seed=1, dtype=torch.float64)
    assert torch.equal(model(x), build_model("gru", **SIZES, seed=1).double()(x))
    cell = build_cell("lru", 3, 5, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.float64)}
    with pytest.raises(ModelError, match=r"^dtype must be a floating point type, such as torch.float64, not torch.int"):
        build_cell("gru", 3, 5, dtype=torch.int64)


class OnMetaAlone(SequenceModule):
    """Computes on one kind of device, as a model of CUDA kernels does."""

    def forward(self, x):
        if x.device.type != "meta":
            raise RuntimeError("no kernel for this device")
        return x.new_empty(*x.shape[:2], self.weight.shape[1])


def test_a_model_is_tried_on_the_device_it_goes_to() -> None:
    assert build_model(OnMetaAlone, **SIZES, device="meta").readout.weight.device.type == "meta"
    with pytest.raises(ModelError, match="no kernel for this device"):
        build_model(OnMetaAlone, **SIZES)


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


def test_hooks_and_another_forward_of_a_cell_are_not_passed_over() -> None:
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


def test_a_hyper_parameter_that_is_not_there() -> None:
    with pytest.raises(ModelError) as caught:
        build_model("antisymmetric", **SIZES, epsilom=0.1)
    expected = "Antisymmetric has no hyper-parameter 'epsilom'; did you mean 'epsilon'? it has: "
    stack = "; a stack of it has: num_layers, residual, norm, norm_first, glu, dropout, readout"
    assert str(caught.value) == expected + "epsilon, gamma, sigma_w" + stack
    with pytest.raises(ModelError) as caught:
        build_cell("antisymmetric", 3, 5, num_layers=2)  # a cell is no stack, and has no readout
    assert str(caught.value) == "Antisymmetric has no hyper-parameter 'num_layers'; it has: epsilon, gamma, sigma_w"
    with pytest.raises(ModelError, match=r"^LSTM has no hyper-parameter 'num_layer'; did you mean 'num_layers'"):
        build_model(nn.LSTM, **SIZES, num_layer=2)


def test_keywords_that_a_constructor_hands_on() -> None:
    class Outer(SequenceModule):
        def __init__(self, *args, extra=0, **kwargs):
            super().__init__(*args, **kwargs)

    class Open(nn.Module):
        def __init__(self, input_size, hidden_size, **options):
            super().__init__()
            self.inner = SequenceModule(input_size, hidden_size, **options)

        def forward(self, x):
            return self.inner(x)

    build_model(Outer, **SIZES, scale=2.0, extra=1)
    build_model(Open, **SIZES, scale=2.0)
    with pytest.raises(ModelError, match=r"^Outer has no hyper-parameter 'other'"):
        build_model(Outer, **SIZES, other=1)
    with pytest.raises(ModelError, match=r"^Open\(3, 5\) failed: TypeError: .*'other'"):
        build_model(Open, **SIZES, other=1)


def test_a_constructor_or_a_forward_that_fails() -> None:
    class NoConstructor(nn.Module):
        def __init__(self, only_one):
            super().__init__()

    class NoForward(SequenceModule):
        def forward(self, x):
            raise RuntimeError("two\nlines")

    with pytest.raises(ModelError, match=r"^NoConstructor\(3, 5\) failed: TypeError: ") as caught:
        build_model(NoConstructor, **SIZES)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(
        ModelError,
        match=r"^NoForward failed on an input \[2, 3, 3\]: RuntimeError: two lines \(line \d+ of test_models.py\)$",
    ):
        build_model(NoForward, **SIZES)


def test_cells_and_models_are_told_apart() -> None:
    assert isinstance(build_cell("feedback", 3, 5), RecurrentCell)
    with pytest.raises(ModelError, match=r"^SequenceModule is not a RecurrentCell: use build_model$"):
        build_cell(SequenceModule, 3, 5)
    with pytest.raises(UnknownNameError, match="unknown model 'feedbak'; did you mean 'feedback'"):
        build_cell("feedbak", 3, 5)
    with pytest.raises(ModelError, match=r"^a model is a name or a class derived from torch.nn.Module, not 3$"):
        build_model(3, **SIZES)
    with pytest.raises(ModelError, match="num_outputs must be a positive integer, not 0"):
        build_model("rnn", input_size=1, hidden_size=2, num_outputs=0)


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


class MakesAModuleLate(SequenceModule):
    def forward(self, x):
        if not hasattr(self, "activation"):
            self.activation = nn.Tanh()
        return self.activation(super().forward(x))


class HandsOnTheRest(nn.LSTM):
    def __init__(self, input_size, *args, **keywords):
        super().__init__(input_size, *args, **keywords)


class HandsOnKeywords(nn.LSTM):
    def __init__(self, input_size, **keywords):
        super().__init__(input_size, **keywords)


class TakesTheRest(SequenceModule):
    def __init__(self, input_size, *sizes):
        super().__init__(input_size, *sizes)


@pytest.mark.parametrize("late", [MakesAModuleLate, HandsOnTheRest, HandsOnKeywords, TakesTheRest])
def test_modules_that_are_made_in_other_ways(late: type[nn.Module]) -> None:
    assert build_model(late, **SIZES)(torch.zeros(2, 4, SIZES["input_size"])).shape == (2, SIZES["num_outputs"])
