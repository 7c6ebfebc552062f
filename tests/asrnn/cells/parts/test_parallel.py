"""Test cells that are scanned in parallel: which back end runs, and what runs if it cannot."""

import pytest
import torch
from scan_support import backends_of

from asrnn import build_cell
from asrnn.cells.lru import LRU
from asrnn.cells.min_gru import MinGRU
from asrnn.errors import ModelError
from asrnn.ops import backends, scan_with

NAMES = ["lru", "min-gru", "min-lstm", "s4d"]
EVERY = pytest.mark.parametrize("name", NAMES)
ELEMENTWISE = ["lru", "min-gru", "min-lstm"]


def small_cell(name: str):
    torch.manual_seed(1)
    return build_cell(name, 3, 4)


@EVERY
def test_back_ends(name: str) -> None:
    cell, x = small_cell(name), torch.ones(2, 5, 3)
    fused = backends_of(name) if name in ELEMENTWISE else []
    expected, _ = cell.scan(x)
    assert cell.scan_backend == ("compiled" if "compiled" in fused else "parallel")
    for backend in (*fused, "parallel", "loop"):
        with scan_with(backend):
            # float32, five steps in another order.
            torch.testing.assert_close(cell.scan(x)[0], expected, rtol=1e-5, atol=1e-5)
            assert cell.scan_backend == backend
    cell.double().scan(x.double())
    assert cell.scan_backend == "parallel"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_without_a_compiler_the_parallel_scan_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_compiled", lambda *_: "this test has no C compiler")
    backends._warn_once.cache_clear()
    cell = small_cell(name)
    try:
        with pytest.warns(RuntimeWarning, match=r"^the parallel scan runs, slower than it could be: this test has no"):
            cell.scan(torch.ones(2, 5, 3))
    finally:
        backends._warn_once.cache_clear()
    assert cell.scan_backend == "parallel"


def test_what_the_lru_derives_from_its_parameters_is_built_once_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    value, built = vars(LRU)["drive_weight"], []
    build = value.build
    monkeypatch.setattr(value, "build", lambda cell: built.append(cell) or build(cell))
    with scan_with("fused"):
        small_cell("lru").scan(torch.ones(2, 5, 3))
    assert len(built) == 1


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(ELEMENTWISE)))
def test_back_ends_that_cannot_run(name: str) -> None:
    cell, x = small_cell(name), torch.ones(2, 5, 3)
    for other in ("fused", "compiled", "triton"):
        message = f"the scan back end '{other}' cannot run this scan: {type(cell).__name__} has parallel and loop"
        with scan_with(other), pytest.raises(ModelError, match=message):
            cell.scan(x)


def test_cells_that_are_not_linear_have_no_parallel_scan() -> None:
    with (
        scan_with("parallel"),
        pytest.raises(ModelError, match="'parallel' cannot run this scan: its step is not linear"),
    ):
        build_cell("antisymmetric", 3, 4).scan(torch.ones(2, 5, 3))


class Summed(MinGRU):
    """A scan of its own."""

    def scan(self, x, state=None, *, return_sequence=False):
        return super().scan(x.cumsum(1), state, return_sequence=return_sequence)


def test_the_back_end_of_a_subclass_with_its_own_scan() -> None:
    assert Summed(3, 4).scan_backend == "custom"


@EVERY
@pytest.mark.parametrize("backend", ["parallel", "loop"])
def test_autocast_does_not_round_the_scan(name: str, backend: str) -> None:
    cell, x = small_cell(name), torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(2))
    with scan_with(backend):
        expected, _ = cell.scan(x.bfloat16().float(), return_sequence=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs, _ = cell.scan(x.bfloat16(), return_sequence=True)
    assert torch.equal(outputs, expected)


@EVERY
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch.func.jvp itself
def test_under_the_transforms_of_torch(name: str) -> None:
    cell, x = small_cell(name).double(), torch.randn(2, 5, 3, dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(cell.scan(x)[0].sum(), x)
    for return_sequence in (False, True):

        def last_sum(x, whole=return_sequence):
            outputs, _ = cell.scan(x, return_sequence=whole)
            return (outputs[:, -1] if whole else outputs).sum()

        # float64, five steps in another order.
        torch.testing.assert_close(torch.func.grad(last_sum)(x), expected, rtol=1e-12, atol=1e-12)
        _, slope = torch.func.jvp(last_sum, (x,), (torch.ones_like(x),))
        torch.testing.assert_close(slope, expected.sum(), rtol=1e-12, atol=1e-12)
    jacobian = torch.func.jacrev(lambda x: cell.scan(x)[0])(x)
    torch.testing.assert_close(jacobian.sum((0, 1)), expected, rtol=1e-12, atol=1e-12)


@EVERY
def test_an_empty_batch_and_wrong_shapes(name: str) -> None:
    cell = small_cell(name)
    assert cell.scan(torch.ones(0, 3, 3))[0].shape == (0, 4)
    assert cell.scan(torch.ones(0, 3, 3), return_sequence=True)[0].shape == (0, 3, 4)
    with pytest.raises(ModelError, match=r"expected a sequence \[B, T, 3\] with T >= 1, found \[2, 0, 3\]"):
        cell.scan(torch.ones(2, 0, 3))
    with pytest.raises(ModelError, match="the state must be a tuple of tensors"):
        cell.scan(torch.ones(2, 5, 3), (torch.zeros(2, 5),))
