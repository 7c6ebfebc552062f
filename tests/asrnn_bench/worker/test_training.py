import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from asrnn_bench.records.job import Job
from asrnn_bench.worker.building import build_trainer
from asrnn_bench.worker.training import leave_out_advice, prepare_torch


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    threads, fills = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.set_flush_denormal(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills


SUBNORMAL = """
import torch
from asrnn_bench.worker.training import prepare_torch
can_flush = torch.set_flush_denormal(False)
prepare_torch(3)
assert (torch.full((1 << 20,), 1e-39) * 0.5).any() != can_flush
"""


def test_a_job_s_torch_counts_subnormal_numbers_as_zero_in_all_its_threads() -> None:
    # In a process of its own: threads that torch has started before keep what they were started with.
    done = subprocess.run([sys.executable, "-c", SUBNORMAL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("torch_as_it_was")
def test_a_job_s_torch_is_deterministic_and_fills_no_memory_that_is_written_to_anyway() -> None:
    held = torch.ones(1 << 20)
    prepare_torch(3)
    assert torch.get_num_threads() == 3
    assert torch.are_deterministic_algorithms_enabled()
    assert not held.resize_(1 << 21)[1 << 20 :].isnan().all()


def test_a_worker_s_log_holds_no_advertisement(
    jobs: list[Job], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    leave_out_advice()
    job = jobs[-1]
    with caplog.at_level("INFO"):
        build_trainer(job, [])
    said = [*(record.getMessage() for record in caplog.records), *(str(each.message) for each in recwarn)]
    assert any("GPU available" in line for line in said)  # what it says of the training is there
    assert not any("litlogger" in line or "srun" in line for line in said)
