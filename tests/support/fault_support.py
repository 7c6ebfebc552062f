"""What the tests of faults share: jobs of seconds, a pool of one that forks its workers, and what came of a job."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench_support import TINY

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.job import Job
from asrnn_bench.supervising.forked import Forked, Template
from asrnn_bench.supervising.supervisor import Supervisor

CORE = {
    "CUDA_VISIBLE_DEVICES": "",
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
}

PROGRESS = {
    "attempt": 1,
    "seq": 3,
    "phase": "training",
    "step": 2,
    "max_steps": 4,
    "loss": 2.3,
    "steps_per_second": 10.5,
    "memory_mib": 700.0,
}
"""What a worker writes of a job of the tiny suite."""


def suite_text(
    steps: int, *, validate_every: int = 50, models: Sequence[str] = ("antisymmetric",), more: str = ""
) -> str:
    """A suite whose steps take milliseconds and whose layers drop units, so that generators matter."""
    text = TINY.replace("max_steps = 4", f"max_steps = {steps}")
    text = text.replace("validate_every = 2", f"validate_every = {validate_every}")
    listed = ", ".join(f'"{model}"' for model in models)
    text = text.replace('models = ["rnn"]', f"models = [{listed}]")
    settings = "".join(
        f'\n[settings.permuted-mnist.{model}]\norigin = "a test"\nlearning_rate = 0.003\nschedule = "cosine"\n'
        "hyper = { num_layers = 2, dropout = 0.3 }\n"
        for model in models
    )
    return text + settings + more


def plan_jobs(folder: Path, text: str, **request: Any) -> list[Job]:
    """The jobs of a suite's text."""
    path = folder / "tiny.toml"
    path.write_text(text)
    return make_plan(load_suite(str(path)), Request(**request)).jobs


@dataclass
class Bench:
    """Runs jobs one at a time, each worker forked from one template; remembers the workers for those who kill them."""

    template: Template
    workers: list[Forked] = field(default_factory=list)

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Forked:
        self.workers.append(self.template.start(words, environment, log))
        return self.workers[-1]

    def run(
        self,
        directory: JobDirectory,
        options: Options,
        meanwhile: Callable[[Forked], None] = lambda worker: None,
        **place: str,
    ) -> Supervisor:
        """Run a job until it is settled; ``meanwhile`` gets the newest worker again and again."""
        supervisor = Supervisor(directory, options, self.start)
        while (started := supervisor.start({**CORE, **place})) == "held":
            time.sleep(0.1)
        watching = started == "started"
        while watching:
            meanwhile(self.workers[-1])
            time.sleep(0.002)
            watching = supervisor.watch()
        return supervisor


def write(output: Path, job: Job) -> JobDirectory:
    """The job's directory, written."""
    directory = JobDirectory.of(output, job)
    directory.write_job(job)
    return directory


def endings(directory: JobDirectory) -> list[dict[str, Any]]:
    """What each attempt's exit.json says; a full disk takes none."""
    found = [each.path / "exit.json" for each in directory.attempts()]
    return [json.loads(file.read_text()) for file in found if file.exists()]


def kinds(directory: JobDirectory) -> list[str]:
    """How each attempt ended."""
    return [said["kind"] for said in endings(directory)]


def outcome(directory: JobDirectory) -> dict[str, Any]:
    """All of a result that must not depend on what was killed on the way: scores, curve and the selected weights."""
    record = directory.result()
    assert record is not None, directory.state()
    found = record.model_dump(mode="json", include={"key", "status", "reason", "scores", "curve", "scan_backend"})
    weights = directory.path / "attempts" / f"{record.attempt:03d}" / "weights.safetensors"
    return found | {"weights": sha256(weights.read_bytes()).hexdigest() if weights.exists() else None}


@dataclass
class KillAtRandom:
    """Kills each worker a random time after it was started, as often as is asked for."""

    times: int
    longest: float
    random: random.Random
    signal: int = 9
    killed: int = 0
    _worker: Forked | None = None
    _at: float = 0.0

    def __call__(self, worker: Forked) -> None:
        if worker is not self._worker:
            self._worker, self._at = worker, time.monotonic() + self.random.uniform(0, self.longest)
        elif (
            self.killed < self.times and worker.pid is not None and time.monotonic() >= self._at and worker.code is None
        ):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(worker.pid).send_signal(self.signal)
                self.killed += 1
                self._at = float("inf")


@dataclass
class KillOnTheWay:
    """Kills the workers of one job at random moments of it, as often as is asked for, however fast the machine is.

    Every fifth worker is killed at a random moment of its first second; each of the others once it has saved a random
    part of its share of the steps that are left, and a random moment later: no kill follows a checkpoint at once.
    """

    directory: JobDirectory
    times: int
    random: random.Random
    killed: int = 0
    _worker: Forked | None = None
    _step: float = 0.0
    _at: float | None = None

    def __call__(self, worker: Forked) -> None:
        if self.killed == self.times:
            return
        if worker is not self._worker:
            self._worker, self._at = worker, None
            saved = self.directory.saved_step()
            share = (self.directory.job().training.max_steps - saved) / (self.times - self.killed)
            self._step = saved + self.random.uniform(0, share)
            if self.killed % 5 == 0:
                self._at = time.monotonic() + self.random.uniform(0, 1)
        elif self._at is None and self.directory.saved_step() >= self._step:
            self._at = time.monotonic() + self.random.uniform(0, 0.03)
        elif self._at is not None and time.monotonic() >= self._at and worker.pid is not None and worker.code is None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(worker.pid).kill()
                self.killed, self._at = self.killed + 1, float("inf")


def rows_of(folder: Path) -> list[str]:
    """The lines of the tiny suite's leaderboard."""
    return (folder / "tiny.tiny.csv").read_text().splitlines()


def warnings_in(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The warnings that were printed, where there was no traceback."""
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    return [line for line in said.out.splitlines() if line.startswith("warning:")]
