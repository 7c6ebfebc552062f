"""GPUs are named, and torch is asked for them, with fakes of ``nvidia-smi`` and torch."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench_support import one_line

from asrnn.errors import DeviceError
from asrnn_bench.machine import gpus
from asrnn_bench.machine.gpus import NamedGpus, named_gpus, read_visible
from asrnn_bench.worker.gpus import TorchGpus, ask_torch, require_named, require_promised, usable_gpus


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        ("0", ("0",)),
        ("3,1", ("3", "1")),
        (" 2 , 0 ", ("2", "0")),
        ("-1", ()),
        ("-1,0", ()),
        ("1,-1,0", ("1",)),
        ("0,0", ()),
        ("NoDevFiles", ()),
        ("none", ()),
        ("1gpu2,2ampere", ("1", "2")),
        ("0,GPU-1f2e", ("0",)),
        ("GPU-1f2e,GPU-77", ("GPU-1f2e", "GPU-77")),
        ("GPU-1f2e,0", ("GPU-1f2e",)),
        ("GPU-1,GPU-1", ()),
        ("MIG-a,MIG-b", ("MIG-a", "MIG-b")),
        ("MIG-GPU-5d5b/1/0", ("MIG-GPU-5d5b/1/0",)),
    ],
)
def test_the_variable_is_read_as_torch_reads_it(
    value: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.cuda import _parse_visible_devices

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert tuple(map(str, _parse_visible_devices())) == names
    assert read_visible(value) == names
    assert named_gpus() == NamedGpus(names, f"CUDA_VISIBLE_DEVICES={value} names")


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program of that name on the path."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(gpus, "DEVICE_FILES", tmp_path)

    def install(program: str) -> None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return install


TWO = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-0f1e-9a)"""
DIVIDED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77)"""


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (f"echo '{TWO}'", ("GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "GPU-0f1e-9a")),
        (f"echo '{DIVIDED}'", ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8", "GPU-77")),
        ("echo 'GPU 0: Some (odd) name'", ("0",)),
        ("echo 'No devices were found'", ()),
        ("", ()),
    ],
)
def test_gpus_of_nvidia_smi_are_named_by_uuid(
    program: str, names: tuple[str, ...], nvidia_smi: Callable[[str], None]
) -> None:
    nvidia_smi(program)
    assert named_gpus() == NamedGpus(names, "nvidia-smi lists")


@pytest.mark.parametrize("program", [None, "exit 9", f"echo '{TWO}'; exit 9", "exit 6", "exec sleep 60"])
@pytest.mark.parametrize("names", [(), ("0",), ("0", "1")])
def test_device_files_name_the_gpus_if_nvidia_smi_does_not_answer(
    program: str | None,
    names: tuple[str, ...],
    nvidia_smi: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(gpus, "LIST_SECONDS", 0.5)
    for file in ("nvidiactl", "nvidia-uvm", "nvidia3", "nvidia12")[: 2 + len(names)]:
        (tmp_path / file).touch()
    if program is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        nvidia_smi(program)
    assert named_gpus() == NamedGpus(names, "the driver's device files name")


def test_a_device_file_that_may_not_be_opened_names_no_gpu(
    nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in ("nvidia0", "nvidia1"):
        (tmp_path / file).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "nvidia0")
    nvidia_smi("exit 6")
    assert named_gpus().names == ("0",)


class DeferredError(Exception):
    """As torch's error of a call that waited for CUDA: of no other kind than Exception."""


def _torch(
    count: int,
    *,
    cuda: str | None = "12.4",
    refuses: str = "",
    broken: int | None = None,
    kind: type[Exception] = RuntimeError,
) -> Any:
    """A torch that sees so many GPUs, one of which may be broken."""

    def init() -> None:
        if refuses:
            raise kind(refuses)

    def ones(size: int, device: str) -> Any:
        if device == f"cuda:{broken}":
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be reported")
        return SimpleNamespace(add_=lambda _: SimpleNamespace(item=lambda: 2.0))

    gpus = SimpleNamespace(
        init=init,
        is_initialized=lambda: not refuses,
        device_count=lambda: count,
        get_device_name=lambda index: f"model {index}",
        DeferredCudaCallError=DeferredError,
    )
    return SimpleNamespace(__version__="2.9", version=SimpleNamespace(cuda=cuda, hip=None), cuda=gpus, ones=ones)


@pytest.mark.parametrize(
    ("torch", "models", "reason"),
    [
        (_torch(2), ("model 0", "model 1"), ""),
        (_torch(0, cuda=None), (), "torch 2.9 is built without CUDA"),
        (
            _torch(0, refuses="The NVIDIA driver on your system is too old (found version 11040). Please update it."),
            (),
            "The NVIDIA driver on your system is too old (found version 11040)",
        ),
        (_torch(0, refuses="No CUDA GPUs are available"), (), "No CUDA GPUs are available"),
        (_torch(0, refuses="CUDA call failed lazily", kind=DeferredError), (), "CUDA call failed lazily"),
        (_torch(3, broken=1), ("model 0",), "GPU 1: CUDA error: uncorrectable ECC error encountered"),
    ],
)
def test_torch_is_asked_to_compute_on_each_gpu(torch: Any, models: tuple[str, ...], reason: str) -> None:
    assert usable_gpus(torch) == TorchGpus("2.9", models, reason)


def test_the_error_of_a_deferred_call_is_torchs_own() -> None:
    import torch

    assert issubclass(torch.cuda.DeferredCudaCallError, Exception)


def test_a_rank_computes_on_its_own_gpu_alone() -> None:
    assert usable_gpus(_torch(2, broken=1), only=0).models == ("model 0", "model 1")
    assert usable_gpus(_torch(2, broken=1), only=1).models == ("model 0",)


STAND_IN = """
import os
__version__ = "2.9"
class version:
    cuda, hip = "12.4", None
class cuda:
    seen = [w for w in os.environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",") if w][:{most}]
    init, is_initialized = staticmethod(lambda: None), staticmethod(lambda: True)
    device_count = staticmethod(lambda: len(cuda.seen))
    get_device_name = staticmethod(lambda index: cuda.seen[index])
def ones(size, device):
    class Tensor:
        add_ = lambda self, value: self
        item = lambda self: 2.0
    return Tensor()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a module named torch before the installed one, for other processes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    return lambda text: (tmp_path / "torch.py").write_text(text) and None


def test_torch_is_asked_in_a_process_of_its_own(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN.replace("{most}", "9"))
    assert ask_torch(["1", "0"]) == TorchGpus("2.9", ("1", "0"))
    require_named(["1", "0"], NamedGpus())


def test_each_mig_instance_is_asked_for_by_itself(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN.replace("{most}", "1"))  # as CUDA, which shows one of them to a process
    assert ask_torch(["MIG-a", "MIG-b"]).models == ("MIG-a", "MIG-b")


def test_a_torch_that_sees_fewer_refuses_the_run_in_one_line(stand_in: Callable[[str], None]) -> None:
    stand_in(STAND_IN.replace("{most}", "1"))
    with pytest.raises(DeviceError) as caught:
        require_named(["0", "9"], NamedGpus(("0", "9"), "CUDA_VISIBLE_DEVICES=0,9 names"))
    line = one_line(str(caught.value))
    assert line.startswith("CUDA_VISIBLE_DEVICES=0,9 names 2 GPUs and torch sees 1; ")
    assert "on the CPU with 'CUDA_VISIBLE_DEVICES=' before the command" in line
    stand_in("raise ImportError('libcudart.so.12: cannot open shared object file')")
    with pytest.raises(
        DeviceError, match=r"lists 1 GPU and torch sees none: it could not be asked: .*libcudart\.so\.12"
    ):
        require_named(["GPU-1"], NamedGpus(("GPU-1",)))


def test_a_run_without_gpus_asks_nobody(stand_in: Callable[[str], None]) -> None:
    stand_in("raise ImportError('no')")
    require_named([], NamedGpus())
    require_promised(0, {"ASRNN_BENCH_DEVICES": "0"})
    require_promised(0, {})


@pytest.mark.parametrize(("visible", "promised"), [("0", 1), ("0,1", 2)])
def test_a_worker_that_sees_fewer_gpus_than_promised_says_what_it_sees(
    visible: str, promised: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", _torch(promised - 1))
    told = {"ASRNN_BENCH_DEVICES": str(promised), "CUDA_VISIBLE_DEVICES": visible}
    with pytest.raises(
        DeviceError, match=rf"^{promised} GPUs? promised to this job on \S+ and torch sees .*={visible}\)"
    ):
        require_promised(0, told)
    monkeypatch.setitem(sys.modules, "torch", _torch(promised))
    require_promised(0, told)
