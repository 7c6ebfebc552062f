"""Every fused scan, compared with autograd through a loop over the cell's ``step``."""

import copy

import pytest
import torch
from scan_support import FUSED, PARALLEL, SOURCES, backends_of, fold, gradients, needs_compiler, random_cell, random_run

from asrnn import load_model
from asrnn.ops import scan_with
from asrnn.ops.compiled import CompiledRunner
from asrnn.ops.runner import StepRunner

EVERY = pytest.mark.parametrize("name", FUSED)
# With 64 units the compiled steps need no padding, so that no matrix is copied, whatever its layout.
SIZES = pytest.mark.parametrize(
    ("B", "T", "I", "H"), [(1, 1, 1, 1), (3, 17, 5, 7), (37, 70, 2, 19), (18, 2, 3, 33), (5, 9, 2, 64)]
)


def relative_error(found, expected) -> float:
    """Return the largest relative error, by norms. A norm below 1e-5 of the largest counts as that much."""
    most = max(tensor.norm() for tensor in expected)
    pairs = [(a.double(), b) for a, b in zip(found, expected, strict=True)]
    return max(((a - b).norm() / max(b.norm(), 1e-5 * most)).item() for a, b in pairs) if most else 0.0


@pytest.fixture(params=[None, 7])
def chunk_length(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Scan in one chunk, the default for these sizes, or in several; return the length of a short chunk."""
    if request.param:
        for runner in (StepRunner, CompiledRunner):
            monkeypatch.setattr(runner, "chunk_length", lambda self, state, num_steps: min(request.param, num_steps))
    return request.param


@EVERY
@SIZES
def test_in_float64(nan_memory, chunk_length, name: str, B: int, T: int, I: int, H: int) -> None:  # noqa: E741
    cell = random_cell(name, I, H)
    x, state = random_run(cell, B, T)
    expected, expected_final = fold(cell, x, state)
    with scan_with("fused"):
        outputs, final = cell.scan(x, state, return_sequence=True)
    # Sums of at most 37 * 70 products in another order, after 70 steps: roundings of 1e-16, which a unit close to the
    # threshold of modReLU enlarges some 10^4 times.
    assert relative_error((outputs, *final), (expected, *expected_final)) < 1e-11
    found = gradients(cell, x, state, outputs, final)
    assert relative_error(found, gradients(cell, x, state, expected, expected_final)) < 1e-10


@EVERY
@SIZES
def test_in_float32(nan_memory, chunk_length, threads_of_torch, name, B, T, I, H) -> None:  # noqa: E741
    threads_of_torch(3 if chunk_length else 1)
    exact, cell = random_cell(name, I, H), random_cell(name, I, H, torch.float32)
    x, state = random_run(cell, B, T)
    x64, state64 = x.detach().double().requires_grad_(), tuple(h.detach().double().requires_grad_() for h in state)
    exact.load_state_dict(cell.state_dict())  # the same numbers, with the same rounding
    expected = runs(exact, x64, state64, "loop")
    by_loop = runs(cell, x, state, "loop")
    # 70 steps, each rounded a few times at 6e-8, and enlarged by weights of 0.7 times normal numbers: to 1e-5 for
    # outputs and 1e-4 for gradients in most cells. Where it is more, it is more in the loop too.
    bounds = [
        max(bound, 10 * relative_error(others, exactly))
        for bound, others, exactly in zip((2e-5, 2e-4), by_loop, expected, strict=True)
    ]
    for backend in backends_of(name):
        found = runs(cell, x, state, backend)
        assert cell.scan_backend == backend
        for some, exactly, bound in zip(found, expected, bounds, strict=True):
            assert relative_error(some, exactly) < bound, backend


@pytest.mark.parametrize("name", dict.fromkeys(FUSED + PARALLEL))
def test_at_the_length_of_a_task(nan_memory, name: str) -> None:
    """T = 784 and inputs in [0, 1], as pixels are: sums of 50,000 terms, many of them of one sign.

    Each gradient is as close to float64's as a sum in blocks is, 2e-6, where the loop's are; elsewhere, where the steps
    enlarge roundings, three times as far as the loop's farthest, as roundings differ.
    """
    torch.manual_seed(5)
    cell = load_model(SOURCES[name])(1, 16)
    exact, x = copy.deepcopy(cell).double(), torch.rand(64, 784, 1, generator=torch.Generator().manual_seed(6))
    backends = [*(backends_of(name) if name in FUSED else []), *(["parallel"] if name in PARALLEL else [])]
    expected = parameter_grads(exact, x.double(), backends[0])
    found = {backend: parameter_grads(cell, x, backend) for backend in backends}
    errors = {backend: relative_errors(each, expected) for backend, each in found.items()}
    bound = 2e-6
    if max(map(max, errors.values())) > bound:
        bound = max(bound, 3 * max(relative_errors(parameter_grads(cell, x, "loop"), expected)))
    assert max(map(max, errors.values())) < bound, errors


def parameter_grads(cell, x, backend: str) -> tuple[torch.Tensor, ...]:
    """Return the gradients of the parameters for the sum of all last outputs."""
    with scan_with(backend):
        output, _ = cell.scan(x)
    return torch.autograd.grad(output.sum(), list(cell.parameters()), allow_unused=True, materialize_grads=True)


def relative_errors(found, expected) -> list[float]:
    """Return the relative error of each tensor, by norms. A norm below 1e-6 of the largest counts as that much."""
    least = 1e-6 * max(tensor.norm() for tensor in expected)
    pairs = [(a.double(), b) for a, b in zip(found, expected, strict=True)]
    return [float((a - b).norm() / max(b.norm(), least)) for a, b in pairs]


@EVERY
@pytest.mark.parametrize("backend", ["fused", "compiled"])
def test_nan_inputs_and_parameters_give_nan(name: str, backend: str) -> None:
    """A diverged training must show: no comparison may turn a NaN of an input or parameter into a number."""
    if backend == "compiled":
        needs_compiler(name)
    x, state = random_run(random_cell(name, 2, 5, torch.float32), 3, 4)
    for spoilt in [None, *dict(random_cell(name, 2, 5).named_parameters())]:
        cell, given = random_cell(name, 2, 5, torch.float32), x.detach().clone()
        with torch.no_grad():
            tensor = given if spoilt is None else cell.get_parameter(spoilt)
            tensor[(0,) * tensor.ndim] = torch.nan
        found = []
        for each in ("loop", backend):
            with scan_with(each), torch.no_grad():
                found.append(cell.scan(given, tuple(part.detach() for part in state))[0].isnan())
        assert torch.equal(*found), spoilt
        assert found[0].any() or (spoilt or "").startswith("initial")


@EVERY
def test_a_state_of_any_layout(name: str) -> None:
    """The state is transposed, and needs no padding for the compiled steps, so that nothing copies it."""
    cell = random_cell(name, 2, 64, torch.float32)
    x, state = random_run(cell, 5, 3)
    across = tuple(part.detach().t().contiguous().t().requires_grad_() for part in state)
    found = [gradients(cell, x, given, *cell.scan(x, given)) for given in (across, state)]
    # Sums of 64 products in float32, possibly in another order.
    assert relative_error(found[0], [tensor.double() for tensor in found[1]]) < 1e-4


def runs(cell, x, state, backend: str):
    """Run a scan, and return its outputs and gradients."""
    with scan_with(backend):
        outputs, final = cell.scan(x, state, return_sequence=True)
    return (outputs, *final), gradients(cell, x, state, outputs, final)
