from collections.abc import Iterator

import pytest
import torch

from asrnn_bench.running.training import prepare_torch


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    threads, fills = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills


@pytest.mark.usefixtures("torch_as_it_was")
def test_a_job_s_torch_is_deterministic_and_fills_no_memory_that_is_written_to_anyway() -> None:
    held = torch.ones(1 << 20)
    prepare_torch(3)
    assert torch.get_num_threads() == 3
    assert torch.are_deterministic_algorithms_enabled()
    assert not held.resize_(1 << 21)[1 << 20 :].isnan().all()
