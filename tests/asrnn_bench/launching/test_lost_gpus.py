"""GPUs that torch cannot use take no job."""

from pathlib import Path

import pytest
from bench_support import done, one_line

from asrnn.errors import DeviceError
from asrnn_bench.cli import invoke
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import find_slots
from asrnn_bench.worker import gpus as torch_gpus
from asrnn_bench.worker.gpus import TorchGpus


def test_a_run_on_gpus_that_torch_does_not_see_ends_before_any_job_is_written(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(torch_gpus, "ask_torch", lambda names: TorchGpus("2.9", (), "torch 2.9 is built without CUDA"))
    monkeypatch.chdir(tmp_path)
    assert invoke(["--suite", str(tiny_suite)]) == 1
    said = one_line(capsys.readouterr().err)
    assert "CUDA_VISIBLE_DEVICES=0,1 names 2 GPUs and torch sees none: torch 2.9 is built without CUDA" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("broken", [["1"], ["0", "1"]])
def test_a_gpu_that_is_lost_in_a_run_takes_no_further_job(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch, broken: list[str]
) -> None:
    class Supervised:
        """A job that ends at once, by the GPU that it is sent to."""

        last_words = ""
        stuck: tuple[str, ...] = ()

        def __init__(self, directory: JobDirectory, options: Options, start: object) -> None:
            self.directory = directory

        def start(self, place: dict[str, str]) -> str:
            attempt = self.directory.claim()
            if place["CUDA_VISIBLE_DEVICES"] in broken:
                attempt.write_end(End(69, "not-started", "it is gone"))
            else:
                self.directory.publish(done(self.directory.job(), 0.5), attempt)
            return "started"

        def watch(self) -> bool:
            return False

        def is_held(self) -> bool:
            return False

        def stop(self) -> None: ...
        def kill(self) -> None: ...

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(local, "Supervisor", Supervised)
    said: list[str] = []
    if broken == ["1"]:
        run_local(directories, find_slots(devices=None, jobs_per_device=1, threads=1), Options(), say=said.append)
        assert all(directory.is_done() for directory in directories)
    else:
        with pytest.raises(DeviceError, match="no GPU is left"):
            run_local(directories, find_slots(devices=None, jobs_per_device=1, threads=1), Options(), say=said.append)
        assert sum(len(directory.attempts()) for directory in directories) == 2
    assert sorted(said) == [f"gpu {name} is left out of the rest of the run: it is gone" for name in broken]
