"""Every fused scan against autograd through the ``step`` it stands for."""

import pytest
import torch
from scan_support import FUSED, fold, gradients, needs_compiler, random_cell, random_run

from asrnn.ops import scan_with
from asrnn.ops.compiled import CompiledRunner
from asrnn.ops.runner import StepRunner

EVERY = pytest.mark.parametrize("name", FUSED)
SIZES = pytest.mark.parametrize(("B", "T", "I", "H"), [(1, 1, 1, 1), (3, 17, 5, 7), (37, 70, 2, 19), (18, 2, 3, 33)])


def relative_error(found, expected) -> float:
    return max(((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, expected, strict=True))


@pytest.fixture(params=[None, 7])
def stretch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan in one stretch, as these sizes have it, and in several."""
    if request.param:
        for runner in (StepRunner, CompiledRunner):
            monkeypatch.setattr(runner, "stretch", lambda self, state, num_steps: min(request.param, num_steps))


@EVERY
@SIZES
def test_in_float64(nan_memory, stretch, name: str, B: int, T: int, I: int, H: int) -> None:  # noqa: E741
    cell = random_cell(name, I, H)
    x, state = random_run(cell, B, T)
    expected, expected_final = fold(cell, x, state)
    with scan_with("fused"):
        outputs, final = cell.scan(x, state, return_sequence=True)
    # Sums of at most 37 * 70 products, in another order, after 70 steps: roundings of 1e-16 that hardly grow.
    tolerance = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close((outputs, *final), (expected, *expected_final), **tolerance)
    torch.testing.assert_close(
        gradients(cell, x, state, outputs, final),
        gradients(cell, x, state, expected, expected_final),
        **tolerance,
    )


@EVERY
@SIZES
@pytest.mark.parametrize("backend", ["fused", "compiled"])
@pytest.mark.parametrize("threads", [1, 3])
def test_in_float32(nan_memory, stretch, threads_of_torch, name, backend, threads, B, T, I, H) -> None:  # noqa: E741
    if backend == "compiled":
        needs_compiler(name)
    threads_of_torch(threads)
    exact, cell = random_cell(name, I, H), random_cell(name, I, H, torch.float32)
    x, state = random_run(cell, B, T)
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    with torch.no_grad():  # the same numbers, not other roundings of them
        for ours, theirs in zip(exact.parameters(), cell.parameters(), strict=True):
            ours.copy_(theirs)
    expected, expected_final = fold(exact, x64, state64)
    with scan_with(backend):
        outputs, final = cell.scan(x, state, return_sequence=True)
    assert cell.scan_backend == backend
    # 70 steps, each rounded at 6e-8 a few times, that these weights (0.7 times normal) pass on enlarged.
    assert relative_error((outputs, *final), (expected, *expected_final)) < 2e-5
    found = gradients(cell, x, state, outputs, final)
    assert relative_error(found, gradients(exact, x64, state64, expected, expected_final)) < 2e-4


@EVERY
@pytest.mark.parametrize("backend", ["fused", "compiled"])
def test_at_the_length_of_a_task(nan_memory, name: str, backend: str) -> None:
    """T = 784: the bound on the relative error of every gradient is 1e-5; the loop in float32 has up to 2.4e-6."""
    if backend == "compiled":
        needs_compiler(name)
    cell = random_cell(name, 1, 24, torch.float32)
    cell.epsilon = 0.01
    with torch.no_grad():
        cell.weight_hh.mul_(0.1)  # three times as much, and a free matrix enlarges errors 30 times, the loop's too
    x, state = random_run(cell, 20, 784)
    exact = random_cell(name, 1, 24)
    exact.epsilon = 0.01
    exact.load_state_dict({key: value.double() for key, value in cell.state_dict().items()})
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    with scan_with(backend):
        output, final = cell.scan(x, state)
    with scan_with("loop"):
        expected, expected_final = exact.scan(x64, state64)
    found = gradients(cell, x, state, output, final)
    assert relative_error(found, gradients(exact, x64, state64, expected, expected_final)) < 1e-5
