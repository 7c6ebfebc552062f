"""Test that models are built from names, classes, sizes and hyper-parameters, and that failures are one line."""

import numpy as np
import pytest
import torch
from sequence_modules import SIZES, SequenceModule
from torch import nn

from asrnn import RecurrentCell, build_cell, build_model, find_model
from asrnn.errors import ModelError, UnknownNameError
from asrnn.models import assemble


def test_hyper_parameters_reach_the_cell() -> None:
    cell = build_cell("antisymmetric", 3, 5, epsilon=0.25, gamma=0.5)
    assert (cell.epsilon, cell.gamma) == (0.25, 0.5)


def test_names_sources_and_classes_build_the_same_model() -> None:
    source = find_model("antisymmetric")
    models = [build_model(ref, **SIZES, seed=0) for ref in ("antisymmetric", source, source.target)]
    models.append(build_model(type(models[0].recurrence), **SIZES, seed=0))
    x = torch.randn(2, 4, 3)
    for model in models[1:]:
        assert torch.equal(model(x), models[0](x))


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


@pytest.mark.parametrize("name", ["seed", "model", "num_outputs", "device", "hyper"])
def test_hyper_parameters_with_the_names_of_arguments(name: str) -> None:
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


def test_an_unknown_hyper_parameter_is_refused() -> None:
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


def test_keywords_that_a_constructor_passes_to_its_base() -> None:
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
    where = r"\(line \d+ of test_construction.py\)"
    with pytest.raises(
        ModelError, match=rf"^NoForward failed on an input \[2, 3, 3\]: RuntimeError: two lines {where}$"
    ):
        build_model(NoForward, **SIZES)


def test_build_cell_refuses_a_module_that_is_no_cell() -> None:
    assert isinstance(build_cell("feedback", 3, 5), RecurrentCell)
    with pytest.raises(ModelError, match=r"^SequenceModule is not a RecurrentCell: use build_model$"):
        build_cell(SequenceModule, 3, 5)
    with pytest.raises(UnknownNameError, match="unknown model 'feedbak'; did you mean 'feedback'"):
        build_cell("feedbak", 3, 5)
    with pytest.raises(ModelError, match=r"^a model is a name or a class derived from torch.nn.Module, not 3$"):
        build_model(3, **SIZES)
    with pytest.raises(ModelError, match="num_outputs must be a positive integer, not 0"):
        build_model("rnn", input_size=1, hidden_size=2, num_outputs=0)


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
def test_modules_with_unusual_constructors(late: type[nn.Module]) -> None:
    assert build_model(late, **SIZES)(torch.zeros(2, 4, SIZES["input_size"])).shape == (2, SIZES["num_outputs"])
