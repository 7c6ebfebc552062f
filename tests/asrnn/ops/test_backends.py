"""The choice of the back end, and the messages where one cannot run."""

import pytest
import torch
from scan_support import backend_used, needs_compiler

from asrnn import build_cell
from asrnn.errors import ModelError, UnknownNameError
from asrnn.ops import backends, scan_with


def test_auto_chooses_the_fastest_back_end_for_the_precision() -> None:
    needs_compiler("antisymmetric")
    cell = build_cell("antisymmetric", 1, 5)
    assert backend_used(cell) == "compiled"
    assert backend_used(cell, torch.float64) == "fused"
    for dtype, word in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16")):
        backends._warn_once.cache_clear()
        with pytest.warns(RuntimeWarning, match=f"only the loop over steps computes in {word}; fused scans do in"):
            assert backend_used(cell, dtype) == "loop"
        assert backend_used(cell, dtype) == "loop"  # without another warning


def test_unknown_and_impossible_back_ends_are_refused() -> None:
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
        backend_used(cell)
    with (
        scan_with("compiled"),
        pytest.raises(ModelError, match="'compiled' cannot run this scan: it runs float32 on the CPU, not float64"),
    ):
        backend_used(cell, torch.float64)
    with (
        scan_with("fused"),
        pytest.raises(ModelError, match="'fused' cannot run this scan: it is not float32 or float64 throughout"),
    ):
        backend_used(cell, torch.bfloat16)


def test_without_a_compiler_scans_run_in_python_with_a_warning(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    cell = build_cell("antisymmetric", 1, 5)
    reason = "there is no C compiler: install one, or name it in CC"
    with pytest.warns(RuntimeWarning, match=f"^scans run in Python, several times slower than they could: {reason}$"):
        assert backend_used(cell) == "fused"
    assert backend_used(cell) == "fused"  # without another warning
    with scan_with("compiled"), pytest.raises(ModelError, match=reason):
        backend_used(cell)


def test_a_failing_compiler_is_a_warning_with_its_error(fresh_cache, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    broken = tmp_path / "cc"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "scan.c:1: error: no such thing" >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    cell = build_cell("antisymmetric", 1, 5)
    with pytest.warns(RuntimeWarning, match="several times slower"):
        assert backend_used(cell) == "fused"
    with pytest.raises(ModelError, match="cc failed in .*: scan.c:1: error: no such thing"), scan_with("compiled"):
        backend_used(cell)


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ("nosuchcc -O1", "there is no C compiler nosuchcc: install one"),
        ("false", "cannot be asked for its version: "),
        ('gcc "', "cannot be asked"),
    ],
)
def test_an_unusable_compiler_is_reported(
    fresh_cache, monkeypatch: pytest.MonkeyPatch, named: str, refusal: str
) -> None:
    monkeypatch.setenv("CC", named)
    with scan_with("compiled"), pytest.raises(ModelError, match=refusal):
        backend_used(build_cell("antisymmetric", 1, 5))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch.func.jvp itself
def test_the_loop_runs_under_transforms_and_on_empty_batches() -> None:
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
