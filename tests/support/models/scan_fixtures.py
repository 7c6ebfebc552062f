"""Fixtures for tests of fused scans."""

from collections.abc import Callable, Iterator

import pytest
import torch
from scan_support import needs_compiler, random_cell

from asrnn.ops import buffers, scan_with


@pytest.fixture
def nan_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fill new tensors and buffers with NaN, so that a read before the first write shows."""
    take = buffers._Pool.take

    def take_nan(pool, numel, dtype, device):
        return take(pool, numel, dtype, device).fill_(torch.nan)

    monkeypatch.setattr(buffers._Pool, "take", take_nan)
    # A test that trains a job in this process sets the first of these to False.
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def threads_of_torch() -> Iterator[Callable[[int], None]]:
    """Return a function that sets the number of torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(params=["fused", "compiled"])
def backend(request: pytest.FixtureRequest, threads_of_torch):
    if request.param == "compiled":
        needs_compiler("antisymmetric")
    threads_of_torch(2 if request.param == "compiled" else 1)  # the other back end leaves threads to torch
    with scan_with(request.param):
        yield request.param


@pytest.fixture(params=["antisymmetric", "antisymmetric-gated"])
def cell(request: pytest.FixtureRequest):
    return random_cell(request.param, 3, 21, torch.float32)
