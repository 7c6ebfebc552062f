"""A worker trains on the GPUs that it was promised, or not at all."""

import os
import subprocess

import pytest
from bench_support import one_line

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import decide
from asrnn_bench.jobs.handover import Rank
from asrnn_bench.supervising.commands import worker_words
from asrnn_bench.worker import main as worker


def test_a_worker_without_its_gpu_does_not_train_and_is_tried_in_the_next_run(directories: list[JobDirectory]) -> None:
    ended = subprocess.run(
        worker_words(directories[0].path),
        env=os.environ | {"ASRNN_BENCH_DEVICES": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 69
    (end,) = directories[0].ends()
    assert end.kind == "not-started"
    assert end.reason.startswith("1 GPU promised to this job on ")
    assert one_line(end.reason)
    assert not directories[0].is_done()
    assert decide([end], retries=2) == "later"


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_cublas_is_deterministic_in_a_worker(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    variables = dict(os.environ) | {"SLURM_JOB_ID": "7"} | ({"CUBLAS_WORKSPACE_CONFIG": own} if own else {})
    monkeypatch.setattr(worker.os, "environ", variables)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_pin", lambda *_: None)
    monkeypatch.setattr(worker.StopRequest, "listen", lambda self: None)
    worker._become_worker(directories[0], directories[0].job(), Rank())
    assert variables["CUBLAS_WORKSPACE_CONFIG"] == (own or ":4096:8")
    assert "SLURM_JOB_ID" not in variables
