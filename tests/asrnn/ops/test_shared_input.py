"""An input that all samples of a batch share is projected once, and no other one is."""

import copy

import pytest
import torch
from scan_support import fold, gradients, random_cell, random_run, run

from asrnn.ops import fused_scan
from asrnn.ops.compiled import CompiledRunner
from asrnn.ops.runner import StepRunner

pytestmark = pytest.mark.usefixtures("nan_memory", "backend")


def test_two_equal_samples_do_not_make_an_input_shared() -> None:
    cell = random_cell("antisymmetric", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[-1] = x[0]
    expected, _ = fold(cell, x, state)
    # 40 steps in float32.
    torch.testing.assert_close(cell.scan(x, state, return_sequence=True)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shared_steps", [30, 40])
def test_an_input_that_all_samples_share_is_projected_once(backend, monkeypatch, shared_steps: int) -> None:
    """The last steps of a sequence are one for the batch, as noise may be: same numbers, fewer products."""
    cell = random_cell("antisymmetric-gated", 9, 21, torch.float32)
    x, state = random_run(cell, 17, 40)
    with torch.no_grad():
        x[:, 40 - shared_steps :] = x[:1, 40 - shared_steps :]
    cell.scan(x, state)  # the first run of a back end scans too
    seen = []
    compare = fused_scan._samples_are_equal

    def spy(x):
        seen.append(compare(x))
        return seen[-1]

    for runner in (StepRunner, CompiledRunner):
        monkeypatch.setattr(runner, "chunk_length", lambda self, state, num_steps: 7)
    monkeypatch.setattr(fused_scan, "_samples_are_equal", spy)
    once = run(cell, x, state)
    exact = copy.deepcopy(cell).double()
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    expected = gradients(exact, x64, state64, *fold(exact, x64, state64))
    # 40 steps in float32, each rounded at 6e-8 and passed on enlarged by weights of 0.7 times normal; by norms.
    assert all(((a.double() - b).norm() / b.norm()).item() < 2e-5 for a, b in zip(once, expected, strict=True))
    # Chunks of 7: with 30 shared steps the first two are not shared throughout. A pass compares each once.
    assert sum(seen) == len(seen) * (4 if shared_steps == 30 else 6) // 6
