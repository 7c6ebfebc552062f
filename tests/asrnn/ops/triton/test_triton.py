import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from asrnn.ops import GatedResidual, Recurrence, Residual
from asrnn.ops.first_run import first_run_error
from asrnn.ops.triton import kernels as triton_kernels
from asrnn.ops.triton import reach as triton_reach
from asrnn.ops.triton.reach import CHIPS, Chip, num_warps, padded_width, precision_for, shared_bytes, why_not
from asrnn.ops.triton.runner import TritonRunner, triton_runner

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

CUDA = torch.device("cuda")
SM_75, SM_89 = Chip((7, 5), 64 * 1024), Chip((8, 9), 99 * 1024)
SM_80, SM_90, SM_100 = CHIPS


@needs_triton
@pytest.mark.parametrize(
    ("which", "at_least"),
    [
        pytest.param("first_run_accepts_sound", 4, id="some"),
        pytest.param("not first_run_accepts_sound", 70, id="others", marks=pytest.mark.slow),
    ],
)
def test_the_kernels_in_the_interpreter(which: str, at_least: int) -> None:
    files = [str(file) for file in Path(__file__).parent.glob("triton_interpreted*.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", which, *files]
    # One thread each, because the tiles are small and other tests run at the same time.
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert passed is not None, done.stdout
    assert int(passed[1]) >= at_least, done.stdout
    assert "skipped" not in done.stdout, done.stdout


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend that the machine has triton and a CUDA device, by default an H100."""
    monkeypatch.setattr(triton_reach, "chip_of", lambda device: SM_90)
    monkeypatch.setattr(triton_kernels, "INSTALLED", True)
    monkeypatch.setattr(torch.version, "hip", None)
    return monkeypatch


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("hidden_size", [1, 5, 64, 100, 128, 129, 256])
def test_supported_sizes_have_no_reason_against_them(hidden_size: int) -> None:
    assert why_not(CUDA, torch.float32, hidden_size) is None


def test_the_cpu_is_not_supported() -> None:
    reason = why_not(torch.device("cpu"), torch.float32, 64)
    assert reason == "the kernels are for NVIDIA GPUs, and the device is cpu"


@pytest.mark.usefixtures("on")
def test_float64_is_not_supported() -> None:
    reason = why_not(CUDA, torch.float64, 64)
    assert reason == "the kernels compute in float32, and the tensors are float64"


def test_other_vendors_are_not_supported(on: pytest.MonkeyPatch) -> None:
    on.setattr(torch.version, "hip", "6.4")
    assert why_not(CUDA, torch.float32, 64) == "the kernels are for NVIDIA GPUs, and this torch is built for AMD's"


def test_old_chips_are_not_supported(on: pytest.MonkeyPatch) -> None:
    on.setattr(triton_reach, "chip_of", lambda device: SM_75)
    reason = why_not(CUDA, torch.float32, 64)
    assert reason == (
        "the kernels need tensor cores for tf32 and bfloat16, which sm_80 and later have, and this is sm_75"
    )


@pytest.mark.usefixtures("on")
def test_wide_states_are_not_supported() -> None:
    assert why_not(CUDA, torch.float32, 257) == (
        "a hidden size of 257 needs 576 KiB of shared memory even in bfloat16, and a block of sm_90 has 227 KiB"
    )


def test_without_triton_nothing_is_supported(on: pytest.MonkeyPatch) -> None:
    on.setattr(triton_kernels, "INSTALLED", False)
    assert why_not(CUDA, torch.float32, 64) == "triton is not installed"


def test_a_triton_that_cannot_be_imported_is_a_reason(on: pytest.MonkeyPatch) -> None:
    on.delattr("asrnn.ops.triton.kernels")
    on.setitem(sys.modules, "asrnn.ops.triton.kernels", None)
    reason = why_not(CUDA, torch.float32, 64)
    assert reason is not None
    assert reason.startswith("triton cannot be imported: ")


def test_everything_imports_without_triton() -> None:
    program = """
import sys
sys.modules["triton"] = None
from asrnn.ops.triton import ahead_of_time, kernels, reach, runner
assert not kernels.INSTALLED and not kernels.interpreted()
print(reach._why_no_triton())
try:
    ahead_of_time.table()
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "triton is not installed",
        "compiling takes triton, and no TRITON_INTERPRET in the environment",
    ], done.stderr


@pytest.mark.parametrize(
    ("chip", "hidden_size", "precision"),
    [
        (SM_80, 64, "float32"),
        (SM_80, 128, "float32"),
        (SM_80, 129, "bfloat16"),
        (SM_80, 256, "bfloat16"),
        (SM_80, 257, None),
        (SM_89, 64, "float32"),
        (SM_89, 128, "tf32"),
        (SM_89, 256, None),
        (SM_90, 128, "float32"),
        (SM_90, 256, "bfloat16"),
        (SM_90, 512, None),
        (SM_100, 128, "float32"),
        (SM_100, 256, "bfloat16"),
    ],
)
def test_the_best_precision_that_fits_is_used(chip: Chip, hidden_size: int, precision: str | None) -> None:
    assert precision_for(hidden_size, chip) == precision


def test_sizes_are_rounded_up_for_tensor_cores() -> None:
    widths = {hidden_size: padded_width(hidden_size) for hidden_size in (1, 15, 16, 17, 64, 65, 100, 128, 129, 256)}
    assert widths == {1: 16, 15: 16, 16: 16, 17: 32, 64: 64, 65: 128, 100: 128, 128: 128, 129: 256, 256: 256}
    assert [num_warps(hidden_size) for hidden_size in (1, 32, 64, 100, 256)] == [1, 2, 4, 8, 8]
    assert shared_bytes(100, "float32") == 128 * 128 * 8 + 2 * 16 * 128 * 4


GOOD = {"u": (5, 3, 4), "states": (6, 3, 4), "grad": (3, 4), "weight": (4, 4), "sequence_grad": (5, 3, 4)}


def tensors(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in (GOOD | shapes).items()}


@pytest.mark.parametrize("name", ["u", "states", "weight"])
def test_forward_refuses_wrong_tensors(name: str) -> None:
    good = tensors()
    for bad in (good[name][..., :-1], good[name].double(), torch.stack([good[name], good[name]], -1)[..., 0]):
        given = good | {name: bad}
        message = r"^(u|states|weight) must be a contiguous torch\.float32 tensor \[[\d, ]+\] on cpu, found a "
        with pytest.raises(ValueError, match=message):
            TritonRunner("float32").start_forward(given["u"], given["states"], given["weight"], 0.1, gated=False)


@pytest.mark.parametrize("name", ["u", "grad", "weight", "sequence_grad", "product_grad"])
def test_backward_refuses_wrong_tensors(name: str) -> None:
    good = tensors(u=(5, 3, 8), product_grad=(5, 3, 4))
    for bad in (good[name][..., :-1], good[name].double(), torch.stack([good[name], good[name]], -1)[..., 0]):
        given = good | {name: bad}
        parts = [given[part] for part in ("u", "grad", "sequence_grad", "product_grad", "weight")]
        with pytest.raises(ValueError, match=r"must be a contiguous torch\.float32 tensor"):
            TritonRunner("float32").start_backward(*parts, 0.1, gated=True)


def test_product_grad_is_for_the_gated_recurrence() -> None:
    good = tensors(product_grad=(5, 3, 4))
    for product_grad, gated in ((good["product_grad"], False), (None, True)):
        with pytest.raises(ValueError, match="product_grad is for the gated recurrence"):
            TritonRunner("float32").start_backward(
                good["u"], good["grad"], None, product_grad, good["weight"], 0.1, gated=gated
            )


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_first_run_that_cannot_start_is_a_reason() -> None:
    reason = first_run_error(triton_runner("float32"), Residual, 4, torch.device("cpu"))
    assert reason is not None
    assert reason.startswith("in a first run of Residual with 4 units on cpu: ")


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("recurrence", [Residual, GatedResidual])
def test_the_kernels_on_this_gpu(recurrence: type[Recurrence]) -> None:
    for hidden_size in (5, 64, 100, 128, 200, 256):
        if why_not(CUDA, torch.float32, hidden_size) is None:
            precision = precision_for(hidden_size, triton_reach.chip_of(CUDA))
            assert precision is not None
            assert first_run_error(triton_runner(precision), recurrence, hidden_size, CUDA) is None
