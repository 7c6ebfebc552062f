"""The recurrences in JAX have the losses and gradients of those in torch, with the same weights."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from jax_support import changes_of_a_step, elsewhere, loss_and_gradients
from torch import nn
from torch.nn import functional as F

from asrnn import build_model
from asrnn.models import RecurrentModel
from asrnn_bench.speed import jax_peers
from asrnn_bench.speed.sizes import Size
from asrnn_bench.speed.training_step import NUM_CLASSES, LastState, make_batch

pytestmark = [pytest.mark.peers, pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")]

SIZE = Size(4, 12, 3, 5)


def in_torch(cell: str) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Return the model in torch, and its parameters by their names in JAX."""
    if cell == "lstm":
        peer = LastState(nn.LSTM(3, 5, batch_first=True), 5)
        V, W, b_ih, b_hh = peer.layer.all_weights[0]
        own = {"weight_ih": V, "weight_hh": W, "bias_ih": b_ih, "bias_hh": b_hh}
        return peer, own | {"readout_weight": peer.readout.weight, "readout_bias": peer.readout.bias}
    model: RecurrentModel = build_model(cell, input_size=3, hidden_size=5, num_outputs=NUM_CLASSES)
    own = dict(model.recurrence.named_parameters())
    return model, own | {"readout_weight": model.readout.weight, "readout_bias": model.readout.bias}


@pytest.mark.parametrize("cell", sorted(jax_peers.CELLS))
def test_losses_and_gradients_are_those_of_torch(cell: str) -> None:
    model, named = in_torch(cell)
    values = jax_peers.draw(cell, SIZE, NUM_CLASSES)
    assert {name: value.shape for name, value in values.items()} == {name: tuple(p.shape) for name, p in named.items()}
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(torch.from_numpy(values[name]))
    x, y = make_batch(SIZE, "cpu")
    expected = F.cross_entropy(model(x), y)
    expected.backward()
    inputs = (x.transpose(0, 1).contiguous().numpy(), y.numpy())
    found, grads = elsewhere(loss_and_gradients, cell, values, *inputs)
    # Twelve steps with some roundings of 6e-8 each, of numbers around 1.
    assert found == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in named.items():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("cell", sorted(jax_peers.CELLS))
def test_a_step_changes_every_weight_as_adam_does(cell: str) -> None:
    x, y = make_batch(SIZE, "cpu")
    inputs = (x.transpose(0, 1).contiguous().numpy(), y.numpy())
    for name, change in elsewhere(changes_of_a_step, cell, SIZE, NUM_CLASSES, *inputs).items():
        assert change.max() == pytest.approx(1e-3, rel=1e-2), (
            name
        )  # Adam's first step is its rate, whatever the gradient
