"""Test stacks of layers, and the parts around each layer, against torch's own modules."""

import itertools
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from asrnn import build_model
from asrnn.stack import TiedDropout

SIZES = {"input_size": 3, "hidden_size": 6, "num_outputs": 4}
# float64; the two sides sum at most 20 products in two orders, over at most 11 steps and 3 layers of slope about 1.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm, "batch": nn.BatchNorm1d}
OPTIONS = [
    {"norm": norm, "norm_first": norm_first, "residual": residual, "glu": glu, "dropout": dropout}
    for norm, norm_first, residual, glu, dropout in itertools.product(
        ("none", *NORMS), (False, True), (False, True), (False, True), (0.0, 0.4)
    )
    if not (norm_first and norm == "none")
]


def sequence(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def randomized(model: nn.Module) -> nn.Module:
    """Weights that no default could be mistaken for, and running statistics that no batch has."""
    random = torch.Generator().manual_seed(2)
    model = model.double()
    with torch.no_grad():
        for tensor in itertools.chain(model.parameters(), model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(0.5 * torch.randn(tensor.shape, dtype=torch.float64, generator=random))
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.5)
    return model


class Ones(nn.Module):
    """Maps [B, T, I] to [B, T, H], to the mean over I in every unit."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight = nn.Parameter(torch.full((input_size, hidden_size), 1 / input_size))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(("name", "layer"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
def test_two_layers_equal_two_layers_of_torch(name: str, layer: type[nn.RNNBase]) -> None:
    model = randomized(build_model(name, **SIZES, num_layers=2))
    deep = layer(3, 6, num_layers=2, batch_first=True).double()
    for i, cell in enumerate(model.recurrence.layers):
        for key, value in cell.layer.state_dict().items():
            getattr(deep, key.replace("_l0", f"_l{i}")).data.copy_(value)
    x, other = sequence(2, 11, 3).requires_grad_(), sequence(2, 11, 3).requires_grad_()
    expected, _ = deep(other)
    torch.testing.assert_close(model.recurrence(x), expected, **EXACT)
    torch.testing.assert_close(model(x), model.readout(expected[:, -1]), **EXACT)
    model(x).square().sum().backward()
    F.linear(expected[:, -1], model.readout.weight, model.readout.bias).square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad, **EXACT)
    for i, cell in enumerate(model.recurrence.layers):
        for key, parameter in cell.layer.named_parameters():
            torch.testing.assert_close(parameter.grad, getattr(deep, key.replace("_l0", f"_l{i}")).grad, **EXACT)


def transcribed(model: nn.Module, x: torch.Tensor, options: dict, readout: str) -> torch.Tensor:
    """What the model should compute, with torch's modules in the order of the published blocks, for all steps."""
    stack = model.recurrence
    masks = iter([F.dropout(torch.ones(len(x), 1, 6, dtype=x.dtype), options["dropout"]) for _ in range(4)])

    def drop(y: torch.Tensor) -> torch.Tensor:
        return y * next(masks)

    def normalize(y: torch.Tensor, weights: nn.Module) -> torch.Tensor:
        norm = NORMS[options["norm"]](y.shape[2]).double()
        norm.load_state_dict(weights.state_dict())
        return norm(y.mT).mT if options["norm"] == "batch" else norm(y)

    if options["residual"]:
        x = F.linear(x, stack.encoder.weight, stack.encoder.bias)
    for block in stack.blocks:
        layer = nn.GRU(x.shape[2], 6, batch_first=True).double()
        layer.load_state_dict(block.layer.layer.state_dict())
        y, _ = layer(normalize(x, block.norm) if options["norm_first"] else x)
        if options["glu"]:
            y = drop(nn.GELU()(y))
            value, gate = (y @ block.glu.weight.T + block.glu.bias).chunk(2, dim=2)
            y = value * gate.sigmoid()
        y = drop(y)
        y = x + y if options["residual"] else y
        x = normalize(y, block.norm) if options["norm"] != "none" and not options["norm_first"] else y
    read = x[:, -1] if readout == "last" else x.sum(1) / x.shape[1]
    return F.linear(read, model.readout.weight, model.readout.bias)


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_parts_around_a_layer(options: dict, readout: str) -> None:
    model = randomized(build_model("gru", **SIZES, num_layers=2, readout=readout, **options))
    x = sequence(5, 4, 3)
    torch.manual_seed(0)
    expected = transcribed(model, x, options, readout)  # in training, so that batch statistics and dropout count
    torch.manual_seed(0)
    torch.testing.assert_close(model(x), expected, **EXACT)


def test_the_mask_is_the_same_for_all_steps_of_a_sample() -> None:
    torch.manual_seed(0)
    dropout, x = TiedDropout(0.25), sequence(400, 5, 50)
    mask = dropout(torch.ones_like(x))
    torch.manual_seed(0)
    assert torch.equal(dropout(x), x * mask)
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    kept = mask[:, 0] != 0
    torch.testing.assert_close(mask[:, 0][kept], torch.full_like(mask[:, 0][kept], 4 / 3), **EXACT)
    # 20,000 draws: a standard deviation of 0.003, taken five times. Samples and channels alone would show 0 or 1.
    assert abs(kept.double().mean() - 0.75) < 0.015
    assert kept.double().mean(0).min() > 0
    assert kept.double().mean(0).max() < 1
    assert dropout.eval()(x) is x


def test_dropout_comes_after_every_layer() -> None:
    model = build_model(Ones, input_size=1, hidden_size=50, num_outputs=1, num_layers=2, dropout=0.5)
    torch.manual_seed(0)
    y = model.recurrence(torch.ones(20, 7, 1))
    assert torch.equal(y, y[:, :1].expand_as(y))
    torch.manual_seed(0)
    assert torch.equal(model.recurrence(torch.ones(20, 7, 1), return_sequence=False), y[:, -1])
    assert 0.4 < (y == 0).float().mean() < 0.6  # after the last: 1,000 draws, a standard deviation of 0.016
    # Before the last: what is kept is twice the mean over 50 channels of which the first mask left about a half.
    assert len(y[:, 0].amax(1).unique()) > 5


def test_the_mean_of_a_single_cell() -> None:
    model = build_model("lstm", **SIZES, readout="mean").double()
    states, _ = model.recurrence.scan(sequence(2, 7, 3), return_sequence=True)
    torch.testing.assert_close(model(sequence(2, 7, 3)), model.readout(states.sum(1) / 7), **EXACT)
    assert model.state_dict().keys() == build_model("lstm", **SIZES).state_dict().keys()


@pytest.mark.parametrize("options", [options for options in OPTIONS if not options["dropout"]], ids=str)
def test_a_stack_is_causal_in_evaluation(options: dict) -> None:
    stack = randomized(build_model("gru", **SIZES, num_layers=3, **options)).recurrence.eval()
    x = sequence(3, 9, 3)
    changed = x.clone()
    changed[:, 5:] = sequence(3, 4, 3)
    changed[2] = sequence(9, 3)
    y, other = stack(x), stack(changed)
    assert torch.equal(other[:2, :5], y[:2, :5])
    assert not torch.isclose(other[:2, 5:], y[:2, 5:]).all(-1).any()
    # In training too, but for a batch norm: its statistics hold the future and the other samples.
    stack.train()
    assert torch.equal(stack(x)[:2, :5], stack(changed)[:2, :5]) == (options["norm"] != "batch")


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_learns(options: dict, readout: str) -> None:
    model = build_model("antisymmetric", **SIZES, num_layers=2, readout=readout, seed=0, **options)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters())
    F.cross_entropy(model(torch.randn(8, 7, 3)), torch.arange(8) % 4).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name


def test_a_stack_is_a_module_like_any_other() -> None:
    options = {"num_layers": 2, "residual": True, "norm": "batch", "glu": True, "dropout": 0.1}
    model, other = (build_model("lstm", **SIZES, **options) for _ in range(2))
    x = sequence(2, 7, 3)
    randomized(model).eval()
    other.double().eval().load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("name", "n", "m", "hyper", "count"),
    [
        ("unicornn", 128, 96, {"num_layers": 3, "dropout": 0.1}, 47_498),
        ("unicornn", 256, 1, {"num_layers": 3, "dropout": 0.1}, 136_202),
        (
            "s4d",
            128,
            1,
            {"num_layers": 4, "residual": True, "norm": "layer", "glu": True, "dropout": 0.1, "readout": "mean"},
            201_226,
        ),
    ],
)
def test_counts_of_published_stacks(name: str, n: int, m: int, hyper: dict, count: int) -> None:
    assert build_model(name, input_size=m, hidden_size=n, num_outputs=10, **hyper).num_parameters() == count


def test_the_count_of_the_lrus_blocks() -> None:
    H, N, m, C = 32, 24, 3, 10
    options = {"norm": "batch", "norm_first": True, "residual": True, "glu": True, "dropout": 0.1, "readout": "mean"}
    model = build_model("lru", input_size=m, hidden_size=H, num_outputs=C, num_layers=6, state_size=N, **options)
    block = 3 * N + 4 * N * H + H + 2 * (H * H + H) + 2 * H
    assert model.num_recurrent_parameters() == 6 * block + m * H + H
    assert model.num_parameters() == 6 * block + m * H + H + H * C + C
