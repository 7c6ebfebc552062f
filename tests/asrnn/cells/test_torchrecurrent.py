"""Test cells against the layers of the package torchrecurrent, with the same weights, in float64.

Where the package computes the same equation, states, outputs and gradients agree; its LEM is another model, and the
difference is pinned here, so that nobody takes the one for the other.
"""

import pytest
import torch
from torch import Tensor, nn

from asrnn import RecurrentCell, build_cell

torchrecurrent = pytest.importorskip("torchrecurrent")

B, T, M, N = 3, 20, 4, 6
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}  # float64, 20 steps of sums over at most 12 products


def random_cell(name: str, **hyper) -> tuple[RecurrentCell, Tensor]:
    cell = build_cell(name, M, N, **hyper).double()
    generator = torch.Generator().manual_seed(17)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return cell, torch.randn(B, T, M, generator=generator, dtype=torch.float64)


def peer(layer: str, weights: dict[str, Tensor], **keywords) -> nn.Module:
    """One of the package's layers with these weights; its other biases are zeros."""
    built = getattr(torchrecurrent, layer)(M, N, batch_first=True, dtype=torch.float64, **keywords)
    with torch.no_grad():
        for key, parameter in built.cells[0].named_parameters():
            if key in weights:
                parameter.copy_(weights[key])
            else:
                assert key.startswith("bias"), key
                parameter.zero_()
    return built


def same(cell: RecurrentCell) -> dict[str, Tensor]:
    """The weights that both call the same."""
    return {"weight_ih": cell.weight_ih, "bias_ih": cell.bias}


def antisymmetric() -> tuple[RecurrentCell, Tensor, nn.Module]:
    cell, x = random_cell("antisymmetric", epsilon=0.3, gamma=0.2)
    upper = torch.zeros(N, N, dtype=torch.float64)
    upper[tuple(torch.triu_indices(N, N, offset=1))] = cell.weight_hh.detach()
    return cell, x, peer("AntisymmetricRNN", {**same(cell), "weight_hh": upper}, epsilon=0.3, gamma=0.2)


def cornn() -> tuple[RecurrentCell, Tensor, nn.Module]:
    cell, x = random_cell("cornn", dt=0.1, gamma=1.3, epsilon=2.0)
    weights = {**same(cell), "weight_hh": cell.weight_hy, "weight_ch": cell.weight_hz}
    return cell, x, peer("coRNN", weights, dt=0.1, gamma=1.3, epsilon=2.0)


def unicornn() -> tuple[RecurrentCell, Tensor, nn.Module]:
    cell, x = random_cell("unicornn", dt=0.2, alpha=3.0)
    weights = {**same(cell), "weight_hh": cell.weight_hh, "weight_ch": cell.c}
    return cell, x, peer("UnICORNN", weights, dt=0.2, alpha=3.0)


def fastrnn() -> tuple[RecurrentCell, Tensor, nn.Module]:
    cell, x = random_cell("fastrnn")
    weights = {**same(cell), "weight_hh": cell.weight_hh, "alpha": cell.alpha, "beta": cell.beta}
    return cell, x, peer("FastRNN", weights)


def indrnn(activation: str) -> tuple[RecurrentCell, Tensor, nn.Module]:
    cell, x = random_cell("indrnn", activation=activation)
    return cell, x, peer("IndRNN", {**same(cell), "vector_u": cell.recurrent_weight}, nonlinearity=activation)


PAIRS = {
    "antisymmetric": antisymmetric,
    "cornn": cornn,
    "unicornn": unicornn,
    "fastrnn": fastrnn,
    "indrnn-relu": lambda: indrnn("relu"),
    "indrnn-tanh": lambda: indrnn("tanh"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_agrees_with_torchrecurrent(name: str) -> None:
    cell, x, layer = PAIRS[name]()
    x.requires_grad_()
    ours, our_final = cell.scan(x, return_sequence=True)
    theirs, their_final = layer(x)
    their_final = their_final if isinstance(their_final, tuple) else (their_final,)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)
    torch.testing.assert_close(our_final, tuple(part[0] for part in their_final), **TOLERANCE)

    peers_of = {"weight_ih": "weight_ih", "bias": "bias_ih"}
    parameters = dict(layer.cells[0].named_parameters())
    weights = torch.randn(B, T, N, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    ours_of = torch.autograd.grad((ours * weights).sum(), [x, *(cell.get_parameter(key) for key in peers_of)])
    theirs_of = torch.autograd.grad((theirs * weights).sum(), [x, *(parameters[key] for key in peers_of.values())])
    torch.testing.assert_close(ours_of, theirs_of, **TOLERANCE)


def lem_with_the_old_z(cell: RecurrentCell, x: Tensor) -> Tensor:
    """Our equations of LEM, but that y is driven by the z before the step."""
    outputs = []
    state = cell.initial_state(len(x))
    for x_t in x.unbind(1):
        y, z = state
        u_1, u_2, u_z, u_y = cell.project(x_t).chunk(4, dim=-1)
        d_1 = cell.dt * torch.sigmoid(u_1 + y @ cell.weight_1.T)
        d_2 = cell.dt * torch.sigmoid(u_2 + y @ cell.weight_2.T)
        new_y = (1 - d_2) * y + d_2 * torch.tanh(u_y + z @ cell.weight_y.T)
        new_z = (1 - d_1) * z + d_1 * torch.tanh(u_z + y @ cell.weight_z.T)
        state = (new_y, new_z)
        outputs.append(new_y)
    return torch.stack(outputs, 1)


def test_lem_of_torchrecurrent_is_another_model() -> None:
    cell, x = random_cell("lem", dt=0.5)
    rows = [1, 0, 2, 3]  # its input rows stand in the order D_2, D_1, z, y
    weight_ih, bias = (part.chunk(4) for part in (cell.weight_ih, cell.bias))
    layer = peer(
        "LEM",
        {
            "weight_ih": torch.cat([weight_ih[row] for row in rows]),
            "weight_hh": torch.cat([cell.weight_2, cell.weight_1, cell.weight_z]),
            "weight_ch": cell.weight_y,
            "bias_ih": torch.cat([bias[row] for row in rows]),
        },
        dt=0.5,
    )
    theirs, _ = layer(x)
    torch.testing.assert_close(theirs, lem_with_the_old_z(cell, x), **TOLERANCE)
    ours, _ = cell.scan(x, return_sequence=True)
    assert (ours - theirs).abs().max() > 0.01
