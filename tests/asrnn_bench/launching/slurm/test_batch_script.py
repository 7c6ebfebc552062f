"""The batch script of a job array: what it asks for, and what it runs."""

import subprocess
from pathlib import Path

import pytest

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.slurm.batch_script import batch_options, batch_script
from asrnn_bench.launching.slurm.launcher import SlurmLauncher
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions

OPTIONS = Options(retries=1)


def _asked(options: Options, *words: str, threads: int = 1) -> dict[str, str]:
    return batch_options(3, options, SbatchOptions.parse(words), threads)


def test_memory_is_always_asked_for() -> None:
    assert _asked(Options())["mem"] == "4G"
    assert _asked(Options(devices_per_job=2))["mem"] == "8G"
    by_processor = _asked(Options(), "mem_per_cpu=1G")
    assert "mem" not in by_processor
    assert by_processor["mem-per-cpu"] == "1G"


def test_processors_are_those_of_a_job_s_threads_and_processes() -> None:
    alone, pair = _asked(Options(), threads=3), _asked(Options(devices_per_job=2), threads=3)
    spread = _asked(Options(devices_per_job=2, nodes_per_job=2), threads=3)
    assert (alone["cpus-per-task"], alone["ntasks-per-node"]) == ("3", "1")
    assert (pair["cpus-per-task"], pair["ntasks-per-node"]) == ("6", "1")
    assert (spread["cpus-per-task"], spread["ntasks-per-node"]) == ("3", "2")


def test_a_single_job_is_no_array_and_an_array_keeps_to_its_number_at_a_time() -> None:
    assert "array" not in batch_options(1, OPTIONS, SbatchOptions(), 1)
    assert batch_options(3, OPTIONS, SbatchOptions(), 1)["array"] == "0-2%3"
    assert _asked(OPTIONS, "array_parallelism=2")["array"] == "0-2%2"
    assert "array-parallelism" not in _asked(OPTIONS, "array_parallelism=2")


@pytest.mark.parametrize(("given", "expected"), [(None, ""), ("0", ""), ("2", "2")])
def test_srun_is_asked_for_the_gpus_that_were_given_unasked(tmp_path: Path, given: str | None, expected: str) -> None:
    (tmp_path / "jobs.txt").write_text("job\n")
    script = batch_script(tmp_path, 1, OPTIONS, SbatchOptions({"exclusive": ""}), 1)
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$SLURM_GPUS_PER_NODE"\n')
    (tmp_path / "srun").chmod(0o755)
    variables = {} if given is None else {"SLURM_GPUS_ON_NODE": given}
    ended = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=variables | {"SLURM_CPUS_PER_TASK": "1", "SLURM_GPUS_PER_NODE": "", "PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == expected
    assert "SLURM_GPUS" not in batch_script(tmp_path, 1, OPTIONS, SbatchOptions({"gres": "gpu:2"}), 1)


def test_a_dry_run_needs_no_slurm(directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("asrnn_bench.launching.slurm.commands.DEFAULT_MAX_ARRAY_SIZE", 2)
    settings = LaunchSettings("slurm", options=OPTIONS, slurm_options=("partition=gpu", "comment=it's"))
    launcher = SlurmLauncher(settings, threads=1)
    text = launcher.describe(directories, OPTIONS)
    assert "2 submissions of 2 jobs:\n" in text
    assert "1 submission of 1 job:\n" in text
    assert "  #SBATCH --partition=gpu\n" in text
    assert "  #SBATCH --array=0-1%2\n" in text
    assert "  #SBATCH --comment='it'\"'\"'s'\n" in text
    assert "  #SBATCH --requeue\n" in text
    assert "--signal=USR2@120" in text
    assert launcher.describe([], OPTIONS) == "nothing to submit to Slurm"
