"""Start a real Slurm of two nodes on this machine, and make slow jobs for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench_support import TINY
from filelock import FileLock

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite

SCRIPTS = Path(__file__).resolve().parents[3].parent / "shared" / "slurm"

SLOW = """
import time

import torch
from torch import Tensor, nn


class Slow(nn.Module):
    '''Takes its time at every step, and none of the processor's.'''

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            time.sleep(0.2)
        return torch.tanh(self.input(x[:, ::28]).mean(1))
"""


def slow_jobs(folder: Path, count: int, steps: int) -> list[JobDirectory]:
    """Make the directories of jobs that take a fifth of a second a step, ready to be started."""
    (folder / "slow.py").write_text(SLOW)
    text = TINY.replace("max_steps = 4", f"max_steps = {steps}").replace("every = 2", f"every = {steps // 2}")
    text = text.replace("batch_size = 8", "batch_size = 100").replace("[0]", str(list(range(count))))
    (folder / "tiny.toml").write_text(text)
    plan = make_plan(load_suite(str(folder / "tiny.toml")), Request(models=[f"{folder / 'slow.py'}:Slow"]))
    jobs = [job for job in plan.jobs if job.model.name in plan.files]
    directories = [JobDirectory.of(folder / "runs", job) for job in jobs]
    for directory, job in zip(directories, jobs, strict=True):
        directory.write_job(job, plan.files[job.model.name])
        directory.wait()
    return directories


@dataclass(frozen=True)
class Cluster:
    """A running Slurm of two nodes."""

    root: Path
    accounting: bool

    def ask(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def resumes(self, node: str) -> bool:
        """Let a node that was set down take jobs again, and return whether it does."""
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], capture_output=True, timeout=60)
        return "down" not in self.ask("sinfo", "--noheader", "--Node", f"--nodes={node}", "--format=%T")

    def show(self, number: str) -> dict[str, str]:
        """Return what Slurm knows of a job."""
        said = self.ask("scontrol", "show", "job", "--oneliner", number)
        return dict(word.split("=", 1) for word in said.split() if "=" in word)


@contextmanager
def cluster(accounting: bool, extra: str = "") -> Iterator[Cluster]:
    """Start a Slurm, and end it whatever happens; one at a time on this machine, as its ports are fixed.

    Skips the test, with the reason, where it cannot be started.
    """
    missing = [name for name in ("sbatch", "slurmctld", "slurmd", "munge") if shutil.which(name) is None]
    missing += [name for name in ("slurmdbd", "mariadbd") if accounting and shutil.which(name) is None]
    if missing or not SCRIPTS.is_dir():
        pytest.skip(f"no Slurm can be started here: {', '.join(missing) or SCRIPTS} is missing")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root only")
    with FileLock(Path(tempfile.gettempdir()) / "asrnn-bench-slurm.lock"):
        root = Path(tempfile.mkdtemp(prefix="asrnn-slurm-"))  # not pytest's: the database's user must be let in
        words = [str(SCRIPTS / "slurm_up.sh"), str(root), *(["--dbd"] if accounting else [])]
        try:
            log = root / "up.log"
            with log.open("wb") as output:  # no pipe: what it starts would hold it open
                environment = {**os.environ, "SLURM_EXTRA": extra}
                subprocess.run(
                    ["bash", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    timeout=90,
                )
            os.environ["SLURM_CONF"] = str(root / "slurm.conf")
            found = Cluster(root, accounting)
            assert found.ask("sinfo", "--noheader", "--partition=low", "--format=%t").split() == ["idle"], (
                log.read_text()
            )
            yield found
        finally:
            subprocess.run(
                ["bash", str(SCRIPTS / "slurm_down.sh"), str(root)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
            )
            os.environ.pop("SLURM_CONF", None)
            shutil.rmtree(root, ignore_errors=True)
