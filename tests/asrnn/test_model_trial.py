"""Test that a built model is tried once: a wrong shape is reported, and the trial changes nothing."""

from threading import Lock

import pytest
import torch
from sequence_modules import SIZES, SequenceModule
from torch import nn

from asrnn import build_cell, build_model
from asrnn.errors import ModelError


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


def test_a_wrong_shape_of_a_longer_sequence_is_reported_too() -> None:
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
def test_the_trial_does_not_change_the_model(module: type[nn.Module], options: dict) -> None:
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
def test_weights_of_a_lazy_module_depend_on_the_seed(options: dict) -> None:
    one, two, other = (build_model(Lazy, **SIZES, **options, seed=seed) for seed in (3, 3, 4))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_a_model_that_sets_the_seed_does_not_change_the_generator() -> None:
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
