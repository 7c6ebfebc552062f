"""The first run of a runner: it rejects wrong numbers and failures, and has no side effects."""

import pytest
import torch
from scan_support import backend_used, needs_compiler

from asrnn import build_cell
from asrnn.errors import ModelError
from asrnn.ops import compiled, scan_with
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.first_run import first_run_error
from asrnn.ops.recurrences.residual import Residual
from asrnn.ops.runner import StepRunner


@pytest.mark.filterwarnings("ignore:scans run in Python:RuntimeWarning")
def test_a_runner_with_wrong_numbers_is_rejected(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")
    monkeypatch.setattr(compiled.CompiledRunner, "_pack", lambda self, matrix: matrix.contiguous())
    cell = build_cell("antisymmetric", 1, 5)
    assert backend_used(cell) == "fused"
    refusal = r"in a first run of Residual with \d+ units on cpu: its numbers are off by "
    with scan_with("compiled"), pytest.raises(ModelError, match=refusal):
        backend_used(cell)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_first_run_works_in_every_mode_and_draws_no_random_numbers(fresh_cache, mode) -> None:
    needs_compiler("antisymmetric")
    before = torch.get_rng_state()
    with mode():
        assert backend_used(build_cell("antisymmetric", 1, 5)) == "compiled"
    assert not torch.equal(torch.get_rng_state(), before)  # drawing the cell's weights changed it
    before = torch.get_rng_state()
    first_run_error.cache_clear()
    with mode(), scan_with("compiled"):
        first_run_error(compiled_runner(Residual), Residual, 7, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scale", [1.0001, float("nan")])
@pytest.mark.filterwarnings("ignore:scans run in Python:RuntimeWarning")
def test_a_first_run_detects_small_errors_and_nan(fresh_cache, scale: float) -> None:
    class Off(StepRunner):
        def backward(self, recurrence, weights, vectors):
            run = super().backward(recurrence, weights, vectors)

            def off(u, states, grads, *others):
                run(u, states, grads, *others)
                grads[0].mul_(scale)

            return off

    assert first_run_error(StepRunner(), Residual, 7, torch.device("cpu")) is None
    assert "its numbers are off by" in first_run_error(Off(), Residual, 7, torch.device("cpu"))


def test_a_failing_runner_is_replaced_with_a_warning(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")

    def fails(*_):
        raise OSError("no such symbol")

    monkeypatch.setattr(compiled.CompiledRunner, "forward", fails)
    with pytest.warns(
        RuntimeWarning,
        match="several times slower than they could: in a first run of Residual .* OSError: no such symbol",
    ):
        assert backend_used(build_cell("antisymmetric", 1, 5)) == "fused"


def test_the_first_run_ignores_the_default_device(fresh_cache) -> None:
    cell = build_cell("antisymmetric", 1, 5)
    x = torch.ones(2, 3, 1)
    expected, _ = cell.scan(x)
    first_run_error.cache_clear()
    with torch.device("meta"):
        assert torch.equal(cell.scan(x)[0], expected)
