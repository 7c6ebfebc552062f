"""Measure how busy the local pool keeps its places while it runs short jobs, two at a time."""

import os
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import find_slots
from asrnn_bench.machine.capacity import available_cores
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import Budget, SuiteSpec

PLACES = 2
SAMPLE_SECONDS = 0.01


class Sampler(threading.Thread):
    """Count the workers of this process repeatedly until :meth:`stop`.

    The workers are the children of this process's children, because a child of this process imports torch and forks
    them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        """Count until :meth:`stop`; a thread calls it."""
        while not self._stopped.wait(SAMPLE_SECONDS):
            workers = sum(len(_children(child)) for child in _children(os.getpid()))
            self.samples.append((time.monotonic(), min(workers, PLACES)))

    def stop(self) -> None:
        """Stop counting, and wait for the thread to end."""
        self._stopped.set()
        self.join()

    def busy(self, *, from_first: bool) -> float:
        """Return the mean fraction of the places that have a worker. A sample counts for the time since the one before.

        Args:
            from_first: leave out the time before the first worker and after the last.
        """
        samples = self.samples
        if from_first:
            occupied = [index for index, (_, count) in enumerate(samples) if count]
            samples = samples[max(0, occupied[0] - 1) : occupied[-1] + 1] if occupied else []
        if len(samples) < 2:
            return 0.0
        spans = [(later[0] - earlier[0], later[1]) for earlier, later in pairwise(samples)]
        return sum(span * count for span, count in spans) / (PLACES * (samples[-1][0] - samples[0][0]))


def measure_pool(folder: Path, jobs: int) -> str:
    """Run short jobs in two places, and return in words how busy the places were."""
    plan = make_plan(_suite(jobs), Request(models=["rnn"]))
    short = [job for job in plan.jobs if job.model.name == "rnn"]
    directories = [JobDirectory.of(folder, job) for job in short]
    for directory, job in zip(directories, short, strict=True):
        directory.write_job(job)
    devices = min(PLACES, len(available_cores()))
    slots = find_slots(devices=devices, jobs_per_device=PLACES // devices, threads=1)
    sampler = Sampler()
    start = time.monotonic()
    sampler.start()
    run_local(directories, slots, Options())
    wall = time.monotonic() - start
    sampler.stop()
    done = sum(directory.is_done() for directory in directories)
    whole, between = sampler.busy(from_first=False), sampler.busy(from_first=True)
    return f"{done} done in {wall:.0f} s, {whole:.1%} busy; from the first worker to the last {between:.1%}"


def _children(pid: int) -> list[int]:
    """Return the child processes of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, file.read_text(encoding="ascii").split())
    return found


def _suite(jobs: int) -> SuiteSpec:
    budget = Budget(
        summary="a few steps",
        max_steps=4,
        validate_every=2,
        batch_size=8,
        hidden_size=4,
        seeds=list(range(jobs)),
        images={"mnist": "mnist-5k-v2"},
    )
    return SuiteSpec(
        name="short",
        version=1,
        summary="short jobs",
        tasks=["permuted-mnist"],
        models=["rnn"],
        budgets={"short": budget},
        default_budget="short",
        full_budget="short",
    )
