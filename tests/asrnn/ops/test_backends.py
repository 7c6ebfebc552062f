"""Which back end runs, and what is said where one cannot."""

from pathlib import Path

import pytest
import torch
from scan_support import every_recurrence, needs_compiler, random_cell

from asrnn import build_cell, compiling
from asrnn.compiling import compiler
from asrnn.errors import ModelError, UnknownNameError
from asrnn.ops import backends, compiled, scan_with
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.first_run import first_run_error
from asrnn.ops.recurrences.residual import Residual
from asrnn.ops.runner import StepRunner


@pytest.fixture
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """A machine on which nothing was compiled or tried yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    caches = (compiler, compiling._folder_of_this_process, compiled_runner, first_run_error, backends._warn_once)
    for each in caches:
        each.cache_clear()
    yield tmp_path / "asrnn-bench"
    for each in caches:
        each.cache_clear()


def ran(cell, dtype=torch.float32) -> str:
    cell.to(dtype).scan(torch.zeros(2, 3, 1, dtype=dtype))
    return cell.scan_backend


def test_the_fastest_that_the_precision_allows() -> None:
    needs_compiler("antisymmetric")
    cell = build_cell("antisymmetric", 1, 5)
    assert ran(cell) == "compiled"
    assert ran(cell, torch.float64) == "fused"
    for dtype, word in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16")):
        backends._warn_once.cache_clear()
        with pytest.warns(RuntimeWarning, match=f"only the loop over steps computes in {word}; fused scans do in"):
            assert ran(cell, dtype) == "loop"
        assert ran(cell, dtype) == "loop"  # without another warning


def test_unknown_and_impossible_back_ends() -> None:
    cell = build_cell("antisymmetric", 1, 5)
    with (
        pytest.raises(UnknownNameError, match="unknown scan back end 'compild'; did you mean 'compiled'"),
        scan_with("compild"),
    ):
        pass
    with (
        scan_with("triton"),
        pytest.raises(
            ModelError, match="'triton' cannot run this scan: the kernels are for NVIDIA GPUs, and the device is cpu"
        ),
    ):
        ran(cell)
    with (
        scan_with("compiled"),
        pytest.raises(ModelError, match="'compiled' cannot run this scan: it runs float32 on the CPU, not float64"),
    ):
        ran(cell, torch.float64)
    with (
        scan_with("fused"),
        pytest.raises(ModelError, match="'fused' cannot run this scan: it is not float32 or float64 throughout"),
    ):
        ran(cell, torch.bfloat16)


def test_without_a_compiler(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    cell = build_cell("antisymmetric", 1, 5)
    reason = "there is no C compiler: install one, or name it in CC"
    with pytest.warns(RuntimeWarning, match=f"^scans run in Python, several times slower than they could: {reason}$"):
        assert ran(cell) == "fused"
    assert ran(cell) == "fused"  # without another warning
    with scan_with("compiled"), pytest.raises(ModelError, match=reason):
        ran(cell)


def test_a_compiler_that_fails(fresh_cache, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    broken = tmp_path / "cc"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "scan.c:1: error: no such thing" >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    cell = build_cell("antisymmetric", 1, 5)
    with pytest.warns(RuntimeWarning, match="several times slower"):
        assert ran(cell) == "fused"
    with pytest.raises(ModelError, match="cc failed in .*: scan.c:1: error: no such thing"), scan_with("compiled"):
        ran(cell)


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ("nosuchcc -O1", "there is no C compiler nosuchcc: install one"),
        ("false", "cannot be asked for its version: "),
        ('gcc "', "cannot be asked"),
    ],
)
def test_a_compiler_that_is_not_one(fresh_cache, monkeypatch: pytest.MonkeyPatch, named: str, refusal: str) -> None:
    monkeypatch.setenv("CC", named)
    with scan_with("compiled"), pytest.raises(ModelError, match=refusal):
        ran(build_cell("antisymmetric", 1, 5))


def test_it_is_compiled_once_and_kept(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")
    (library,) = fresh_cache.glob("*.so")
    built = library.stat().st_mtime_ns
    compiled_runner.cache_clear()
    needs_compiler("antisymmetric")
    assert library.stat().st_mtime_ns == built
    monkeypatch.setattr(compiled, "_OTHER", (4, 5, ()))
    monkeypatch.setattr(compiled, "_PROCESSORS", {})
    compiled_runner.cache_clear()
    needs_compiler("antisymmetric")  # other flags are another library
    assert len(list(fresh_cache.glob("*.so"))) == 2


def test_without_a_home_a_process_compiles_for_itself(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")

    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    compiling._folder_of_this_process.cache_clear()
    compiled_runner.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert ran(build_cell("antisymmetric", 1, 5)) == "compiled"


PROCESSORS = {**compiled._PROCESSORS, "OTHER": compiled._OTHER}
NATIVE = torch.backends.cpu.get_cpu_capability() if torch.backends.cpu.get_cpu_capability() in PROCESSORS else "OTHER"


def instructions() -> set[str]:
    """What this processor can execute, as far as Linux tells."""
    try:
        return set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
    except OSError:
        return set()


@pytest.mark.parametrize("processor", sorted(PROCESSORS.keys() - {NATIVE}))
def test_vectors_of_another_processor(fresh_cache, monkeypatch: pytest.MonkeyPatch, processor: str) -> None:
    """By its instructions where this processor has them; elsewhere the compiler makes its vectors of smaller ones.

    All other tests use the vectors of this processor, optimised. Without optimisation compiling takes a third of the
    time, and nothing depends on an unrolled loop.
    """
    needs_compiler("antisymmetric")
    lanes, rows, flags = PROCESSORS[processor]
    flags = flags if {flag.removeprefix("-m") for flag in flags} <= instructions() else ()
    monkeypatch.setattr(compiled, "_PROCESSORS", {})
    monkeypatch.setattr(compiled, "_OTHER", (lanes, rows, (*flags, "-O0")))
    compiled_runner.cache_clear()
    for recurrence in every_recurrence():
        runner = compiled_runner(recurrence)
        assert runner.panel == 2 * lanes
        assert first_run_error(runner, recurrence, runner.first_size, torch.device("cpu")) is None, recurrence


@pytest.mark.parametrize("name", ["antisymmetric", "lem"])
def test_a_sample_is_the_same_among_any_number(name: str) -> None:
    """Each number of rows up to those that are taken together has a function of its own."""
    needs_compiler(name)
    cell, x = random_cell(name, 2, 21, torch.float32), torch.randn(26, 5, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), scan_with("compiled"):
        every, _ = cell.scan(x, return_sequence=True)
        for number in range(1, 26):
            assert torch.equal(cell.scan(x[:number], return_sequence=True)[0], every[:number]), number


@pytest.mark.filterwarnings("ignore:scans run in Python:RuntimeWarning")
def test_a_runner_that_is_wrong_is_not_trusted(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")
    monkeypatch.setattr(compiled.CompiledRunner, "_pack", lambda self, matrix: matrix.contiguous())
    cell = build_cell("antisymmetric", 1, 5)
    assert ran(cell) == "fused"
    refusal = r"in a first run of Residual with \d+ units on cpu: its numbers are off by "
    with scan_with("compiled"), pytest.raises(ModelError, match=refusal):
        ran(cell)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_first_run_is_good_wherever_the_first_scan_is(fresh_cache, mode) -> None:
    needs_compiler("antisymmetric")
    before = torch.get_rng_state()
    with mode():
        assert ran(build_cell("antisymmetric", 1, 5)) == "compiled"
    assert not torch.equal(torch.get_rng_state(), before)  # the cell's weights
    before = torch.get_rng_state()
    first_run_error.cache_clear()
    with mode(), scan_with("compiled"):
        first_run_error(compiled_runner(Residual), Residual, 7, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scale", [1.0001, float("nan")])
@pytest.mark.filterwarnings("ignore:scans run in Python:RuntimeWarning")
def test_a_first_run_sees_small_errors_and_nan(fresh_cache, scale: float) -> None:
    class Off(StepRunner):
        def backward(self, recurrence, weights, vectors):
            run = super().backward(recurrence, weights, vectors)

            def off(u, states, grads, *others):
                run(u, states, grads, *others)
                grads[0].mul_(scale)

            return off

    assert first_run_error(StepRunner(), Residual, 7, torch.device("cpu")) is None
    assert "its numbers are off by" in first_run_error(Off(), Residual, 7, torch.device("cpu"))


def test_the_failure_of_a_runner_is_a_warning(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")

    def fails(*_):
        raise OSError("no such symbol")

    monkeypatch.setattr(compiled.CompiledRunner, "forward", fails)
    with pytest.warns(
        RuntimeWarning,
        match="several times slower than they could: in a first run of Residual .* OSError: no such symbol",
    ):
        assert ran(build_cell("antisymmetric", 1, 5)) == "fused"


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch.func.jvp itself
def test_what_only_the_loop_can_scan() -> None:
    cell = build_cell("antisymmetric", 1, 5)
    h = torch.zeros(2, 5)
    x = torch.ones(2, 3, 1)
    _, slope = torch.func.jvp(lambda h: cell.scan(x, (h,))[0], (h,), (torch.ones_like(h),))
    jacobian = torch.func.jacrev(lambda h: cell.scan(x, (h,))[0].sum(0))(h)
    assert cell.scan_backend == "loop"
    torch.testing.assert_close(jacobian[:, 0].sum(1), slope[0])
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(h, torch.ones_like(h))
        tangent = torch.autograd.forward_ad.unpack_dual(cell.scan(x, (dual,))[0]).tangent
    torch.testing.assert_close(tangent, slope)
    assert cell.scan(torch.ones(0, 3, 1))[0].shape == (0, 5)
    with pytest.raises(ModelError, match="the input is float64 and Antisymmetric float32: cast one"):
        cell.scan(x.double())
    cell.epsilon = torch.nn.Parameter(torch.tensor(0.1))
    cell.scan(x)[0].sum().backward()
    assert cell.epsilon.grad is not None


def test_on_the_cpu_whatever_the_default_device_is(fresh_cache) -> None:
    cell = build_cell("antisymmetric", 1, 5)
    x = torch.ones(2, 3, 1)
    expected, _ = cell.scan(x)
    first_run_error.cache_clear()
    with torch.device("meta"):
        assert torch.equal(cell.scan(x)[0], expected)
