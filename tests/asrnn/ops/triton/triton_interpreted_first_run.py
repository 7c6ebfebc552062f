"""The first run of the kernels, in triton's interpreter. It is run like ``triton_interpreted.py``."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from asrnn.ops import GatedResidual, Recurrence, Residual
from asrnn.ops.first_run import first_run_error
from asrnn.ops.triton import kernels as triton_kernels
from asrnn.ops.triton.reach import Precision
from asrnn.ops.triton.runner import triton_runner

# Triton 3.3 converts arrays of one element to integers, which numpy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning"),
]

CPU = torch.device("cpu")


class Broken:
    """A kernel whose arguments are changed before the launch."""

    def __init__(self, kernel: Any, spoil: Callable[[list[Any]], object]) -> None:
        self.kernel, self.spoil = kernel, spoil

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            changed = list(arguments)
            self.spoil(changed)
            self.kernel[grid](*changed, **options)

        return launch


def stop_early(arguments: list[Any]) -> None:
    arguments[-1] -= 1


def transpose(arguments: list[Any]) -> None:
    at = next(at for at, part in enumerate(arguments) if isinstance(part, Tensor) and part.shape == (20, 20))
    arguments[at] = arguments[at].T.contiguous()


def scale(arguments: list[Any]) -> None:
    at = next(at for at, part in enumerate(arguments) if isinstance(part, float))
    arguments[at] *= 1.01


def drop_sequence(arguments: list[Any]) -> None:
    arguments[2] = None


def stop(arguments: list[Any]) -> None:
    raise RuntimeError("out of resource: shared memory")


@pytest.fixture
def fresh() -> Iterator[None]:
    first_run_error.cache_clear()
    yield
    first_run_error.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("recurrence", [Residual, GatedResidual])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_first_run_accepts_sound_kernels(recurrence: type[Recurrence], precision: Precision) -> None:
    assert first_run_error(triton_runner(precision), recurrence, 20, CPU) is None


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("recurrence", [Residual, GatedResidual])
@pytest.mark.parametrize(
    ("kernel", "spoil", "reason"),
    [
        ("forward", stop_early, "its numbers are off by"),
        ("forward", transpose, "its numbers are off by"),
        ("forward", scale, "its numbers are off by"),
        ("forward", stop, "RuntimeError: out of resource: shared memory"),
        ("backward", transpose, "its numbers are off by"),
        ("backward", scale, "its numbers are off by"),
        ("backward", stop_early, "its numbers are off by"),
        ("backward", drop_sequence, "its numbers are off by"),
    ],
)
def test_the_first_run_rejects_broken_kernels(
    monkeypatch: pytest.MonkeyPatch,
    kernel: str,
    spoil: Callable[[list[Any]], object],
    reason: str,
    recurrence: type[Recurrence],
) -> None:
    monkeypatch.setattr(triton_kernels, kernel, Broken(getattr(triton_kernels, kernel), spoil))
    monkeypatch.setattr(triton_kernels, "interpreted", lambda: True)
    found = first_run_error(triton_runner("float32"), recurrence, 20, CPU)
    assert found is not None
    assert reason in found
    assert found.startswith(f"in a first run of {recurrence.__name__} with 20 units on cpu: ")


@pytest.mark.usefixtures("fresh")
def test_the_first_run_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_run_error(triton_runner("float32"), Residual, 6, CPU) is None
    monkeypatch.setattr(triton_kernels, "forward", Broken(triton_kernels.forward, stop))
    assert first_run_error(triton_runner("float32"), Residual, 6, CPU) is None
    assert first_run_error(triton_runner("float32"), Residual, 7, CPU) is not None


@pytest.mark.usefixtures("fresh")
def test_the_first_run_uses_its_own_generator() -> None:
    before = torch.get_rng_state()
    with torch.inference_mode():
        assert first_run_error(triton_runner("float32"), GatedResidual, 6, CPU) is None
    assert torch.equal(torch.get_rng_state(), before)
