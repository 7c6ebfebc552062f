"""Test expRNN, scoRNN and the soft orthogonal RNN: values computed elsewhere, counts, and orthogonality."""

import math

import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn import RecurrentCell, build_cell, build_model
from asrnn.cells.antisymmetric import antisymmetric_matrix
from asrnn.errors import ModelError

X3 = torch.tensor([[[1.0], [-0.5], [2.0]]], dtype=torch.float64)
PRINTED = 6e-11  # half a unit of the last printed decimal


def fill(cell: RecurrentCell, **values: object) -> RecurrentCell:
    """The cell in float64, with these parameters and buffers."""
    cell = cell.double()
    tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(torch.as_tensor(value, dtype=torch.float64).view_as(tensors[name]))
    return cell


def rotation(angle: float) -> list[list[float]]:
    return [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]


@pytest.mark.parametrize(
    ("name", "hyper", "expected"),
    [
        ("exprnn", {}, [0.3350638095, -1.0215591379, 1.0492664095]),
        ("scornn", {"rho": 1 / 3}, [0.9297416509, -1.5998739761, 1.2941146818]),
    ],
)
def test_states_computed_elsewhere(name: str, hyper: dict, expected: list[float]) -> None:
    """Three units, three steps, computed by another program than ours; printed there to ten decimals."""
    cell = build_cell(name, 1, 3, **hyper)
    fill(cell, weight_ih=[0.3, -0.6, 0.2], weight_hh=[0.3, -0.2, 0.5], bias=[-0.05, 0.02, 0.1])
    assert cell.scan(X3)[0][0].tolist() == pytest.approx(expected, abs=PRINTED)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", [0.4385987183, 0.0]), ("tanh", [0.7559406753, -0.6923245554])],
)
def test_soft_orthogonal_states_computed_elsewhere(activation: str, expected: list[float]) -> None:
    cell = build_cell("soft-orthogonal", 1, 2, activation=activation, margin=0.1)
    # Rotations by 0.1 + 0.2 and by -0.4 - 0.3: some of each from the base, some from the exponential.
    fill(cell, base_u=rotation(0.1), base_v=rotation(-0.4), weight_hh=[[-0.2], [0.3]], p=[0.5, -1.0])
    fill(cell, weight_ih=[0.3, -0.6], bias=[0.1, -0.2])
    assert cell.singular_values(cell.p).tolist() == pytest.approx([1.0244918662, 0.9537882843], abs=PRINTED)
    W = [0.5669958192, -0.8460993091, 0.8185660374, 0.5018735077]
    assert cell.recurrent_weight.flatten().tolist() == pytest.approx(W, abs=PRINTED)
    assert cell.scan(X3)[0][0].tolist() == pytest.approx(expected, abs=PRINTED)


@pytest.mark.parametrize("activation", ["leaky-relu", "relu", "tanh", "identity"])
def test_soft_orthogonal_written_out_again(activation: str) -> None:
    """scipy's exponential where matrices do not commute, and torch's activations."""
    torch.manual_seed(1)
    cell = build_cell("soft-orthogonal", 2, 5, activation=activation, margin=0.4).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    U, V = (
        base.numpy() @ scipy.linalg.expm(antisymmetric_matrix(entries, 5).detach().numpy())
        for base, entries in ((cell.base_u, cell.weight_hh[0]), (cell.base_v, cell.weight_hh[1]))
    )
    S = 2 * 0.4 * torch.sigmoid(cell.p.detach()) + 1 - 0.4
    W = torch.from_numpy((U * S.numpy()) @ V.T)
    f = {"leaky-relu": lambda z: torch.where(z > 0, z, 0.01 * z), "relu": F.relu, "tanh": torch.tanh}
    x = torch.randn(3, 4, 2, dtype=torch.float64)
    h = cell.initial_h.detach().expand(3, -1)
    for t in range(4):
        h = f.get(activation, lambda z: z)(h @ W.T + x[:, t] @ cell.weight_ih.T + cell.bias)
    torch.testing.assert_close(cell.scan(x)[0], h, rtol=1e-11, atol=1e-11)  # float64, four steps


@pytest.mark.parametrize(
    ("name", "n", "m", "hyper", "count"),
    [
        ("exprnn", 170, 1, {}, 16_415),
        ("exprnn", 360, 1, {}, 68_950),
        ("exprnn", 512, 1, {}, 136_970),
        ("exprnn", 360, 96, {}, 103_150),
        ("scornn", 170, 1, {}, 16_415),
        ("soft-orthogonal", 128, 1, {"learn_initial": False}, 17_930),
        ("soft-orthogonal", 128, 1, {}, 17_930 + 128),
        ("soft-orthogonal", 128, 1, {"learn_initial": False, "margin": 0}, 17_930 - 128),
    ],
)
def test_parameter_counts(name: str, n: int, m: int, hyper: dict, count: int) -> None:
    """Of the papers' models with their readout of ten classes; at margin 0 there are no singular values to learn."""
    assert build_model(name, input_size=m, hidden_size=n, num_outputs=10, **hyper).num_parameters() == count


@pytest.mark.parametrize(
    ("name", "n", "m", "count"),
    [
        ("exprnn", 256, 3, 33_664),
        ("scornn", 128, 96, 20_544),
        ("soft-orthogonal", 256, 3, 66_560 + 256),
        ("soft-orthogonal", 128, 96, 28_800 + 128),
    ],
)
def test_recurrent_parameter_counts(name: str, n: int, m: int, count: int) -> None:
    assert build_cell(name, m, n).num_parameters() == count


def trained(name: str, **hyper: object) -> tuple[RecurrentCell, Tensor]:
    """A cell after 100 steps on a few random sequences, in float32, and by how much its matrix changed."""
    torch.manual_seed(0)
    model = build_model(name, input_size=3, hidden_size=24, num_outputs=4, **hyper)
    start = model.recurrence.recurrent_weight.detach()
    x, labels = torch.randn(32, 8, 3), torch.randint(4, (32,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
    assert F.cross_entropy(model(x), labels) < 0.7  # from log 4 = 1.4: it has learnt
    return model.recurrence, (model.recurrence.recurrent_weight.detach() - start).abs().max()


@pytest.mark.parametrize(
    ("name", "hyper"), [("exprnn", {}), ("scornn", {"rho": 0.5}), ("soft-orthogonal", {"margin": 0})], ids=str
)
def test_training_keeps_the_matrix_orthogonal(name: str, hyper: dict) -> None:
    cell, change = trained(name, **hyper)
    W = cell.recurrent_weight.detach()
    assert change > 0.1
    # Sums of 24 products in float32.
    torch.testing.assert_close(W @ W.T, torch.eye(24), rtol=0, atol=1e-5)
    if name == "soft-orthogonal":
        assert cell.p is None
        assert not [parameter_name for parameter_name, _ in cell.named_parameters() if parameter_name == "p"]
    else:
        assert torch.linalg.det(W).item() == pytest.approx(1, abs=1e-4)  # of 24 pivots; twelve times -1


def test_training_keeps_singular_values_within_the_margin() -> None:
    cell, change = trained("soft-orthogonal", margin=0.3)
    singular = torch.linalg.svdvals(cell.recurrent_weight.detach())
    assert change > 0.1
    assert singular.max() - singular.min() > 0.03  # they have moved
    expected = cell.singular_values(cell.p.detach()).sort(descending=True).values
    torch.testing.assert_close(singular, expected, rtol=0, atol=1e-5)  # sums of 24 products in float32
    far = cell.singular_values(torch.tensor([-1e4, -20.0, 0.0, 20.0, 1e4]))
    torch.testing.assert_close(far, torch.tensor([0.7, 0.7, 1.0, 1.3, 1.3]))  # float32: torch's default


@pytest.mark.parametrize(("rho", "n", "negative"), [(0.0, 7, 0), (0.1, 170, 17), (0.5, 190, 95), (1.0, 3, 3)])
def test_rho_is_the_share_of_negated_columns(rho: float, n: int, negative: int) -> None:
    W = build_cell("scornn", 1, n, rho=rho).recurrent_weight.detach()
    # The blocks on the diagonal have a cosine from 0 to 1 there, and an odd unit a 1, before D.
    assert (W.diagonal() < 0).sum() == negative
    assert not (W.diagonal()[n - negative :] > 0).any()


@pytest.mark.parametrize("name", ["exprnn", "scornn"])
def test_black_pixels_leave_the_state_at_zero(name: str) -> None:
    cell = build_cell(name, 1, 6)
    with torch.no_grad():
        cell.bias.fill_(0.5)
    x = torch.zeros(2, 9, 1)
    x[1, 4:] = 1.0
    sequence, _ = cell.scan(x, return_sequence=True)
    assert not sequence[0].any()
    assert not sequence[1, :4].any()
    assert sequence[1, 4:].all()
    sequence.sum().backward()
    for parameter in cell.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_initialisation() -> None:
    torch.manual_seed(0)
    exp, sco, soft = (build_cell(name, 5, 400) for name in ("exprnn", "scornn", "soft-orthogonal"))
    # 2,000 draws: five deviations of an estimated variance are 5 sqrt(2/2000) = 16 % of it for a normal draw.
    assert exp.weight_ih.var().item() == pytest.approx(2 / 5, rel=0.16)
    for weight, bound in ((exp.bias, 0.01), (sco.weight_ih, 0.01), (soft.weight_ih, 0.05)):
        assert 0.98 * bound < weight.abs().max() <= bound
        assert weight.min() < -0.98 * bound
    for zeros in (sco.bias, soft.bias, soft.p, soft.initial_h, soft.weight_hh):
        assert not zeros.any()
    assert -1 <= exp.weight_hh.min() < -0.9
    assert exp.weight_hh.max() == 0
    assert build_cell("exprnn", 5, 400, init="henaff").weight_hh.max() > 3


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("exprnn", {"init": "henaf"}, "init must be cayley or henaff, not 'henaf'"),
        ("scornn", {"rho": 1.1}, "rho must be a number from 0 to 1, not 1.1"),
        ("scornn", {"rho": True}, "rho must be a number from 0 to 1, not True"),
        ("soft-orthogonal", {"margin": -0.1}, "margin must be a number from 0 to 1, not -0.1"),
        ("soft-orthogonal", {"margin": math.nan}, "margin must be a number from 0 to 1, not nan"),
        (
            "soft-orthogonal",
            {"activation": "gelu"},
            "activation must be leaky-relu or relu or tanh or identity, not 'gelu'",
        ),
    ],
)
def test_hyper_parameters_out_of_range(name: str, hyper: dict, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_cell(name, 2, 3, **hyper)
    assert str(caught.value) == message
