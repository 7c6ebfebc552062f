"""How busy the local pool keeps its places: short jobs, two at a time, and what of the time two workers lived."""

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
    """Counts the workers of this process again and again, until it is stopped.

    Workers are what the process that has torch forked: the children of this process's children.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        """Count until :meth:`stop`."""
        while not self._stopped.wait(SAMPLE_SECONDS):
            workers = sum(len(_children(child)) for child in _children(os.getpid()))
            self.samples.append((time.monotonic(), min(workers, PLACES)))

    def stop(self) -> None:
        """Stop counting."""
        self._stopped.set()
        self.join()

    def busy(self, *, from_first: bool) -> float:
        """Return the mean share of the places in which a worker lived, each sample for the time since the one before.

        Args:
            from_first: leave out what came before the first worker and after the last.
        """
        found = self.samples
        if from_first:
            lived = [index for index, (_, count) in enumerate(found) if count]
            found = found[max(0, lived[0] - 1) : lived[-1] + 1] if lived else []
        if len(found) < 2:
            return 0.0
        spans = [(later[0] - earlier[0], later[1]) for earlier, later in pairwise(found)]
        return sum(span * count for span, count in spans) / (PLACES * (found[-1][0] - found[0][0]))


def measure_pool(folder: Path, jobs: int) -> str:
    """Run so many short jobs in two places, and return how busy these were, in words."""
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
    """Return the children of a process, of all its threads."""
    found: list[int] = []
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, file.read_text(encoding="ascii").split())
    return found


def _suite(jobs: int) -> SuiteSpec:
    budget = Budget(
        summary="a moment",
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
        summary="jobs of a moment",
        tasks=["permuted-mnist"],
        models=["rnn"],
        budgets={"moment": budget},
        default_budget="moment",
        full_budget="moment",
    )
