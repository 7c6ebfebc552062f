"""A Slurm without a cluster: a queue that a test directs, and commands that note what they are given."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm, finish

from asrnn_bench.launching.slurm import running as slurm
from asrnn_bench.launching.slurm.submission import Submissions


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    found = FakeSlurm(lambda directory, submissions: finish(directory))
    monkeypatch.setattr(slurm, "require_commands", lambda: None)
    monkeypatch.setattr(slurm, "longest_array", lambda: 1000)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "DIRECTORIES_A_SECOND", math.inf)
    monkeypatch.setattr(slurm, "read_queue", found.read_queue)
    monkeypatch.setattr(Submissions, "submit", lambda self, *arguments: found.submit(*arguments))
    return found


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts commands of Slurm on the path that keep what they are given, in the folder that it returns."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(program: str) -> Path:
        for name in ("sbatch", "srun", "squeue", "scontrol"):
            (folder / name).write_text(f"#!/bin/sh\n{program if name == 'sbatch' else 'true'}\n")
            (folder / name).chmod(0o755)
        return folder

    return install
