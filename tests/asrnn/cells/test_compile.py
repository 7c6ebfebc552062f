"""Test that torch.compile takes every cell: the scan stays out of the graph, and the numbers do not change."""

import subprocess
import sys

import pytest
import torch
from scan_support import SOURCES

from asrnn import RecurrentCell, build_model
from asrnn.errors import ModelError

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"  # that Dynamo asks for
)


def gradients(model, x) -> list[torch.Tensor]:
    outputs = model(x)
    return [outputs, *torch.autograd.grad(outputs.square().sum(), list(model.parameters()))]


@pytest.mark.parametrize("name", SOURCES)
def test_a_compiled_model_gives_the_same_numbers(name: str) -> None:
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    model = build_model(name, input_size=3, hidden_size=4, num_outputs=2, seed=0)
    compiled = torch.compile(model, backend=backend)
    for num_steps in (6, 9):  # another length is no reason to compile anew
        x = torch.randn(2, num_steps, 3, generator=torch.Generator().manual_seed(1))
        for found, expected in zip(gradients(compiled, x), gradients(model, x), strict=True):
            assert torch.equal(found, expected)
    nodes = [node for graph in graphs for node in graph.graph.nodes if node.op not in ("placeholder", "output")]
    assert len(nodes) <= 4  # the readout, for a length and for any; no step, and nothing of what runs steps


def test_a_stack_and_a_compiled_step() -> None:
    class Compiled(RecurrentCell):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.W = torch.nn.Linear(input_size + hidden_size, hidden_size)
            self.calls = []
            self.step = torch.compile(self._step, backend=lambda graph, inputs: self.calls.append(1) or graph)

        def _step(self, u, state):
            return (torch.tanh(self.W(torch.cat([u, state[0]], dim=-1))),)

        step = _step

    torch._dynamo.reset()
    model = build_model(Compiled, input_size=3, hidden_size=4, num_outputs=2, num_layers=2, norm="layer", seed=0)
    x = torch.ones(2, 5, 3)
    expected = model(x)
    assert all(layer.calls for layer in model.recurrence.layers)
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), expected)


def test_a_mistake_in_a_compiled_model_gives_the_same_message() -> None:
    model = torch.compile(build_model("gru", input_size=3, hidden_size=4, num_outputs=2), backend="eager")
    with pytest.raises(ModelError, match=r"^expected a sequence \[B, T, 3\]"):
        model(torch.zeros(2, 5, 4))


def test_dynamo_is_not_imported_if_nothing_is_compiled() -> None:
    code = (
        "import sys, torch, asrnn; asrnn.build_cell('rnn', 3, 4).scan(torch.zeros(2, 5, 3)); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
