"""``asrnn-bench doctor`` describes the devices of made-up machines."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from asrnn_bench.cli import doctor
from asrnn_bench.machine.gpus import NamedGpus
from asrnn_bench.worker.gpus import TorchGpus

UUIDS = ("GPU-1", "GPU-2")


def _devices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: NamedGpus, seen: TorchGpus
) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "named_gpus", lambda: named)
    monkeypatch.setattr(doctor, "ask_torch", lambda names: seen)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(named.names))
    return doctor._devices(), capsys.readouterr().out


def test_gpus_that_torch_does_not_see_are_a_fault_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = TorchGpus("2.9", (), "torch 2.9+cpu is built without CUDA")
    faults, said = _devices(monkeypatch, capsys, NamedGpus(UUIDS), seen)
    assert faults == 1
    assert "gpus    ! nvidia-smi lists 2 GPUs, torch sees none: torch 2.9+cpu is built without CUDA\n" in said
    assert "with CUDA_VISIBLE_DEVICES= they run on the CPU" in said


def test_gpus_that_torch_sees_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    faults, said = _devices(monkeypatch, capsys, NamedGpus(UUIDS), TorchGpus("2.9", ("NVIDIA A100", "NVIDIA A100")))
    assert faults == 0
    assert "gpus      2 x NVIDIA A100\n" in said
    assert "jobs      2 jobs at a time on 2 GPUs\n" in said


def test_gpus_that_torch_sees_and_jobs_do_not_take_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, said = _devices(monkeypatch, capsys, NamedGpus(), TorchGpus("2.9", ("NVIDIA A100", "NVIDIA A100")))
    assert faults == 1
    assert "gpus      2 x NVIDIA A100\n" in said
    assert "gpus    ! jobs take none: put 'CUDA_VISIBLE_DEVICES=0,1' before the command\n" in said


def test_without_gpus_it_says_why_jobs_run_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, said = _devices(monkeypatch, capsys, NamedGpus(), TorchGpus("2.9", (), "Found no NVIDIA driver"))
    assert faults == 0
    assert "gpus      torch sees none: Found no NVIDIA driver\n" in said
    assert "GiB of memory" in said


@pytest.mark.parametrize(("mebibytes", "gpus", "faults"), [(64, UUIDS, 1), (64, ("0",), 0), (1024, UUIDS, 0)])
def test_shared_memory_that_is_too_small_for_several_gpus_is_a_fault(
    mebibytes: int,
    gpus: tuple[str, ...],
    faults: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(doctor, "named_gpus", lambda: NamedGpus(gpus))
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=mebibytes << 20, free=mebibytes << 20))
    assert doctor._shared_memory() == faults
    assert ("docker run --shm-size=1g" in capsys.readouterr().out) == bool(faults)
