"""Test that the layers of torch.nn and torchrecurrent are found in text, named, and built."""

import importlib.metadata
from pathlib import Path

import pytest
import torch
from registry_support import CELL, one_line, write
from torch import nn

from asrnn import build_model
from asrnn.errors import ModelError, UsageError
from asrnn.loading import load_model
from asrnn.registry import ModelSource, find_model
from asrnn.sources import adapters
from asrnn.sources.adapters import ADAPTERS, may_be_a_layer, name_of_layer

TORCH, TORCHRECURRENT = ADAPTERS


@pytest.fixture
def _without_torchrecurrent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "is_importable", lambda package: package != "torchrecurrent")


def test_the_layers_of_torch() -> None:
    assert TORCH.layers() == ["GRU", "LSTM", "RNN"]
    version = importlib.metadata.version("torch")
    source = find_model("torch.nn:GRU")
    assert source == ModelSource(
        "torch-nn-gru", "module", "torch.nn:GRU", {"distribution": "torch", "version": version}
    )
    assert load_model(source) is nn.GRU


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_layer_is_found_by_reference_by_name_and_by_the_module_of_its_class(layer: type[nn.Module]) -> None:
    name = layer.__name__
    sources = [
        find_model(ref) for ref in (f"torch.nn:{name}", f"torch-nn-{name.lower()}", f"{layer.__module__}:{name}")
    ]
    assert sources[0] == sources[1] == sources[2]
    assert name_of_layer(f"torch.nn:{name}") == sources[0].name


def test_a_layer_of_torch_is_built_batch_first_with_torchs_initialisation() -> None:
    model = build_model("torch.nn:LSTM", input_size=3, hidden_size=5, num_outputs=2, seed=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        layer, readout = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)
    x = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(model(x), readout(layer(x)[0][:, -1]), rtol=0, atol=0)  # the very same operations
    assert model.num_recurrent_parameters() == 4 * (5 * 5 + 5 * 3 + 2 * 5)


def test_every_layer_of_torchrecurrent_is_found_and_loaded() -> None:
    torchrecurrent = pytest.importorskip("torchrecurrent")
    code = {"distribution": "torchrecurrent", "version": importlib.metadata.version("torchrecurrent")}
    layers = TORCHRECURRENT.layers()
    exported = [name for name in torchrecurrent.__all__ if not name.endswith("Cell")]
    assert layers == sorted(exported)
    sources = [find_model(f"torchrecurrent:{name}") for name in layers]
    assert len({source.name for source in sources}) == len(layers)
    for layer, source in zip(layers, sources, strict=True):
        assert source == ModelSource(f"torchrecurrent-{layer.lower()}", "module", f"torchrecurrent:{layer}", code)
        assert find_model(source.name) == source
        assert load_model(source) is getattr(torchrecurrent, layer)
    assert find_model("torchrecurrent.cells.lem_cell:LEM") == find_model("torchrecurrent:LEM")


def test_every_layer_of_torchrecurrent_is_built_and_read_along_time() -> None:
    """The last output is that of the layer on the sequence, time first, as torchrecurrent takes it by default."""
    torchrecurrent = pytest.importorskip("torchrecurrent")
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(6))
    for name in TORCHRECURRENT.layers():
        # Sizes are equal, as IntersectionRNN takes no others.
        model = build_model(f"torchrecurrent:{name}", input_size=4, hidden_size=4, num_outputs=3).eval()
        layer = getattr(torchrecurrent, name)(4, 4).eval()
        layer.load_state_dict(model.recurrence.state_dict())
        with torch.no_grad():
            expected = model.readout(layer(x.transpose(0, 1))[0][-1])
            # The same operations on a batch laid out otherwise: float32 sums in another order, 8 of them at most.
            torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)


def test_the_layers_of_torchrecurrent_take_their_own_hyper_parameters() -> None:
    pytest.importorskip("torchrecurrent")
    sizes = {"input_size": 2, "hidden_size": 3, "num_outputs": 2}
    started = build_model("torchrecurrent:FastRNN", **sizes).recurrence.state_dict()
    assert (started["cells.0.alpha"].item(), started["cells.0.beta"].item()) == (3.0, -3.0)  # the paper has -3 and 3
    mended = build_model("torchrecurrent:FastRNN", **sizes, alpha_init=-3.0, beta_init=3.0).recurrence.state_dict()
    assert (mended["cells.0.alpha"].item(), mended["cells.0.beta"].item()) == (-3.0, 3.0)
    with pytest.raises(ModelError, match="FastRNN has no hyper-parameter 'alpha_int'; did you mean 'alpha_init'?"):
        build_model("torchrecurrent:FastRNN", **sizes, alpha_int=-3.0)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("torch.nn:GUR", "torch.nn has no recurrent layer 'GUR'; did you mean 'GRU'? it has: GRU, LSTM, RNN"),
        ("torch.nn:lstm", "torch.nn has no recurrent layer 'lstm'; did you mean 'LSTM'? it has: GRU, LSTM, RNN"),
        ("torch.nn:Linear", "torch.nn has no recurrent layer 'Linear'; it has: GRU, LSTM, RNN"),
        ("torch-nn-rnnn", "torch.nn has no recurrent layer 'rnnn'; did you mean 'RNN'? it has: GRU, LSTM, RNN"),
    ],
)
def test_a_layer_that_torch_does_not_have(ref: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(ref)
    assert one_line(caught) == message


def test_a_layer_that_torchrecurrent_does_not_have() -> None:
    pytest.importorskip("torchrecurrent")
    with pytest.raises(ModelError, match="torchrecurrent has no recurrent layer 'LEMCell'; did you mean 'LEM'?"):
        find_model("torchrecurrent:LEMCell")


@pytest.mark.usefixtures("_without_torchrecurrent")
@pytest.mark.parametrize("ref", ["torchrecurrent:LEM", "torchrecurrent-lem"])
def test_without_torchrecurrent_the_message_says_what_to_install(ref: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(ref)
    assert one_line(caught) == f"{ref} is of a package that is not installed: pip install torchrecurrent"


def test_no_other_model_can_have_the_name_of_a_layer(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.py", "class TorchNnGru: pass\n\nclass TorchrecurrentLEM: pass\n")
    with pytest.raises(
        UsageError, match=r"would be called 'torch-nn-gru', as a layer of torch.nn is: rename the class"
    ):
        find_model(f"{path}:TorchNnGru")
    with pytest.raises(UsageError, match=r"would be called 'torchrecurrent-lem', as a layer of torchrecurrent is"):
        find_model(f"{path}:TorchrecurrentLEM")


def test_which_names_may_be_those_of_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_be_a_layer("torch-nn-gru")
    assert not may_be_a_layer("torch-nn-gruu")
    assert not may_be_a_layer("gru")
    monkeypatch.setattr(adapters, "is_importable", lambda package: package != "torchrecurrent")
    assert may_be_a_layer("torchrecurrent-whatever")  # nobody can tell without the package


def test_a_module_of_torch_that_is_no_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model("torch.nn.modules.rnn:RNNBase").name == "rnn-base"
    write(tmp_path / "torchrecurrents.py", CELL)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_model("torchrecurrents:MyCell").name == "my-cell"
