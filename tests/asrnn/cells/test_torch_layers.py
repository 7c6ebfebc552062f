"""lstm, gru and rnn: the step that is written out, and the scan, against torch.nn in float64."""

import pytest
import torch
from torch import nn

from asrnn import RecurrentCell, build_cell

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
B, T, M, N = 3, 11, 4, 7
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}  # float64, at most 11 steps of sums over 11 products


def pair(name: str):
    """A cell with random weights, and a torch layer, built apart from it, that holds the same ones."""
    cell = build_cell(name, M, N).double()
    layer = LAYERS[name](M, N, batch_first=True).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for ours, theirs in zip(cell.parameters(), layer.parameters(), strict=True):
            assert ours.shape == theirs.shape
            ours.copy_(torch.randn(ours.shape, generator=generator, dtype=torch.float64))
            theirs.copy_(ours)
    x = torch.randn(B, T, M, generator=generator, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(B, N, generator=generator, dtype=torch.float64, requires_grad=True) for _ in cell.state_names
    )
    return cell, layer, x, state


def folded(cell: RecurrentCell, x, state):
    outputs = []
    for x_t in x.unbind(1):
        state = cell.step(cell.project(x_t), state)
        outputs.append(cell.output(state))
    return torch.stack(outputs, 1), state


@pytest.mark.parametrize("how", ["step", "scan"])
@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_torch(name: str, how: str) -> None:
    cell, layer, x, state = pair(name)
    run = folded if how == "step" else lambda cell, x, state: cell.scan(x, state, return_sequence=True)
    ours, our_final = run(cell, x, state)
    hx = tuple(part.unsqueeze(0) for part in state)
    theirs, their_final = layer(x, hx if name == "lstm" else hx[0])
    their_final = tuple(part[0] for part in (their_final if name == "lstm" else (their_final,)))
    torch.testing.assert_close(ours, theirs, **TOLERANCE)
    torch.testing.assert_close(our_final, their_final, **TOLERANCE)

    weights = torch.randn(B, T, N, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def gradients(output, final, parameters):
        loss = (output * weights).sum() + sum((k + 2) * part.sum() for k, part in enumerate(final))
        return torch.autograd.grad(loss, [x, *state, *parameters])

    torch.testing.assert_close(
        gradients(ours, our_final, cell.parameters()),
        gradients(theirs, their_final, layer.parameters()),
        # The gradients of 11 steps at unit weights reach 1e3: relative to the largest, still 1e-12.
        rtol=1e-12,
        atol=1e-10,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_the_last_output_is_that_of_the_sequence(name: str) -> None:
    cell, _, x, state = pair(name)
    sequence, final = cell.scan(x, state, return_sequence=True)
    last, final_too = cell.scan(x, state)
    assert torch.equal(last, sequence[:, -1])
    assert all(torch.equal(a, b) for a, b in zip(final, final_too, strict=True))
