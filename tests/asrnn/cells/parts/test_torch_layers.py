"""Test the step and the scan of lstm, gru and rnn against torch.nn in float64."""

import pytest
import torch
from scan_support import assert_scanned_as_stepped, fold, needs_compiler
from torch import nn
from torch.nn.utils import parametrize, prune

from asrnn import RecurrentCell, build_cell
from asrnn.errors import ModelError
from asrnn.ops import backends, compiled, scan_with
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.recurrences.lstm import LongShortTermMemory

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


def scanned(cell: RecurrentCell, x, state, backend: str):
    with scan_with(backend):
        return cell.scan(x, state, return_sequence=True)


@pytest.mark.parametrize("how", ["step", "auto", "fused", "torch"])
@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_torch(name: str, how: str) -> None:
    cell, layer, x, state = pair(name)
    ours, our_final = fold(cell, x, state) if how == "step" else scanned(cell, x, state, how)
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
@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_the_last_output_is_that_of_the_sequence(name: str, backend: str) -> None:
    cell, _, x, state = pair(name)
    sequence, final = scanned(cell, x, state, backend)
    with scan_with(backend):
        last, final_too = cell.scan(x, state)
    assert torch.equal(last, sequence[:, -1])
    assert all(torch.equal(a, b) for a, b in zip(final, final_too, strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_of_derivatives(name: str) -> None:
    """Of the fused recurrence, which float64 takes only where it is asked for by name."""
    cell, _, x, state = pair(name)
    x, state = x[:2, :3].detach().requires_grad_(), tuple(part[:2] for part in state)

    def run(x, *state):
        output, final = scanned(cell, x, state, "fused")
        return output, *final

    # torch's defaults for float64: differences of 1e-6, agreement to 1e-5.
    assert torch.autograd.gradcheck(run, (x, *state), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(run, (x, *state))


@pytest.mark.parametrize("name", ["lstm", "chrono-lstm"])
@pytest.mark.parametrize(
    ("capability", "size", "backend"),
    [("AVX512", 96, "compiled"), ("AVX512", 97, "torch"), ("AVX2", 97, "compiled")],
)
def test_the_back_end_of_an_lstm_depends_on_its_size_and_the_processor(
    monkeypatch: pytest.MonkeyPatch, name: str, capability: str, size: int, backend: str
) -> None:
    needs_compiler(name)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    compiled_runner(LongShortTermMemory)  # for the processor that there is
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    cell = build_cell(name, 1, size)
    cell.scan(torch.zeros(2, 3, 1))
    assert cell.scan_backend == backend


@pytest.mark.parametrize("name", LAYERS)
def test_without_a_compiler_torchs_layers_scan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "load_library", lambda *_: "this test has no C compiler")
    compiled_runner.cache_clear()
    backends._warn_once.cache_clear()
    cell, x = build_cell(name, 3, 5), torch.zeros(2, 4, 3)
    try:
        with pytest.warns(RuntimeWarning, match=r"^torch's layers scan, slower than it could be: this test has no"):
            cell.scan(x)
    finally:
        compiled_runner.cache_clear()
        backends._warn_once.cache_clear()
    assert cell.scan_backend == "torch"


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "chrono-lstm"])
def test_a_parametrized_weight_of_torchs_layer(name: str) -> None:
    class Half(nn.Module):
        def forward(self, weight):
            return weight / 2

    torch.manual_seed(0)
    cell = build_cell(name, 3, 4)
    parametrize.register_parametrization(cell.layer, "weight_hh_l0", Half())
    assert_scanned_as_stepped(cell, "fused")
    with scan_with("torch"), pytest.raises(ModelError, match="a weight of its layer is parametrized$"):
        cell.scan(torch.zeros(2, 5, 3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "chrono-lstm"])
def test_back_ends_of_torchs_layers(name: str) -> None:
    needs_compiler(name)
    cell, x = build_cell(name, 3, 4), torch.ones(2, 5, 3)
    assert cell.scan_backend == "auto"
    expected, _ = cell.scan(x)
    usual = cell.scan_backend
    assert usual in ("compiled", "torch")
    for backend in ("loop", "fused", "compiled", "torch"):
        with scan_with(backend):
            torch.testing.assert_close(cell.scan(x)[0], expected)  # float32, sums in another order: torch's default
            assert cell.scan_backend == backend
    with scan_with(usual):
        assert torch.equal(cell.scan(x)[0], expected)
    with scan_with("parallel"), pytest.raises(ModelError, match="its step is not linear in the state$"):
        cell.scan(x)
    cell.double().scan(x.double())
    assert cell.scan_backend == "torch"
    cell.to(torch.bfloat16).scan(x.to(torch.bfloat16))
    assert cell.scan_backend == "torch"


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_pruned_weight_of_torchs_layer(name: str) -> None:
    """Pruning makes the weight anew before each call of the layer, and nowhere else."""
    cell, x = build_cell(name, 3, 4), torch.ones(2, 5, 3)
    prune.random_unstructured(cell.layer, "weight_hh_l0", amount=0.5)
    for _ in range(2):
        found, _ = cell.scan(x)
        found.sum().backward()
        assert cell.scan_backend == "torch"
        with torch.no_grad():
            cell.layer.weight_hh_l0_orig += 1
    plain = build_cell(name, 3, 4)
    with torch.no_grad():
        weights = (cell.layer.weight_ih_l0, cell.layer.weight_hh_l0, cell.layer.bias_ih_l0, cell.layer.bias_hh_l0)
        for own, weight in zip(plain.parameters(), weights, strict=True):
            own.copy_(weight)
    torch.testing.assert_close(plain.scan(x)[0], found)  # float32, sums in another order: torch's default
