"""Measure what a job costs in addition to its model: ``python -m asrnn_bench.own_cost.overhead``.

The training of a job (Lightning, batches, noise, metrics, progress) is compared with a bare loop over the same model
and one batch. Both take turns in one process, so that whatever the machine does affects both. Each row of the table is
measured in a separate process, in the environment that the local launcher gives its workers, as medians over the turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from asrnn.errors import AsrnnError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import KEEP_BUFFERS
from asrnn_bench.launching.slots import find_slots
from asrnn_bench.machine.capacity import available_cores
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import Budget, SuiteSpec
from asrnn_data.image_sets import resolve_data_dir

HIDDEN_SIZES = {"permuted-mnist": 128, "noise-padded-cifar10": 256}
BATCH_SIZE = 128
STEPS_PER_TURN = 5
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
HEADINGS = ("task", "threads", "scan", "job ms", "bare ms", "overhead", "speed")
_LINE = "{:<22}{:>8}{:>12}{:>10}{:>10}{:>11}{:>9}\n"


def main(words: list[str] | None = None) -> int:
    """Measure each task with one thread and with all cores, and print a table. Return 1 if a row has no numbers.

    Args:
        words: the arguments of the command, by default those of this process.
    """
    options = _options().parse_args(words)
    if options.child:
        return _child(options)
    sys.stdout.write(_LINE.format(*HEADINGS))
    sys.stdout.flush()
    shared = ["--model", options.model, "--turns", str(options.turns), "--clock", options.clock, "--child"]
    failed = False
    for task in options.tasks:
        for threads in options.threads or sorted({1, len(available_cores())}):
            slot = find_slots(devices=1, jobs_per_device=1, threads=threads)[0]
            command = [sys.executable, "-P", "-m", "asrnn_bench.own_cost.overhead", *shared]
            ended = subprocess.run(
                [*command, "--tasks", task, "--threads", str(threads)],
                stderr=subprocess.PIPE,  # Lightning writes a lot to it
                text=True,
                env={**KEEP_BUFFERS, **os.environ, **dict(slot.environment)},
                check=False,
            )
            if ended.returncode:
                sys.stderr.write(f"{task}, {threads} threads: {ended.stderr.strip().splitlines()[-1]}\n")
                failed = True
    return int(failed)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m asrnn_bench.own_cost.overhead", description=__doc__)
    parser.add_argument("--model", default="antisymmetric", help="a model, as for asrnn-bench --models")
    parser.add_argument("--tasks", nargs="+", choices=list(HIDDEN_SIZES), default=list(HIDDEN_SIZES))
    parser.add_argument("--threads", nargs="+", type=int, help="default: 1 and all cores")
    parser.add_argument("--turns", type=int, default=10, help="turns of each loop, after one warm-up turn")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="use cpu on a shared machine")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


def _child(options: argparse.Namespace) -> int:
    """Measure one task with one number of threads in this process, and print its row."""
    (task,), (threads,) = options.tasks, options.threads
    try:
        sys.stdout.write(_row(task, threads, options.model, options.turns, options.clock))
    except AsrnnError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _row(task: str, threads: int, model: str, turns: int, clock: str) -> str:
    from asrnn_bench.own_cost.turns import take_turns

    plan = make_plan(_suite(task, (turns + 1) * STEPS_PER_TURN), Request(models=[model], threads=threads))
    job = plan.jobs[-1]
    with tempfile.TemporaryDirectory() as folder:
        directory = JobDirectory.of(Path(folder), job)
        directory.write_job(job, plan.files.get(job.model.name))
        taken = take_turns(directory, resolve_data_dir(None), STEPS_PER_TURN, CLOCKS[clock])
    pairs = list(zip(taken.job_seconds, taken.bare_seconds, strict=True))[1:]
    job_ms, bare_ms = (1e3 * statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    overhead_ms = 1e3 * statistics.median(full - bare for full, bare in pairs)
    speed = 100 * statistics.median(bare / full for full, bare in pairs)
    milliseconds = (f"{number:.1f}" for number in (job_ms, bare_ms, overhead_ms))
    return _LINE.format(task, threads, taken.scan_backend, *milliseconds, f"{speed:.1f} %")


def _suite(task: str, steps: int) -> SuiteSpec:
    """Return a suite of one task on the small image sets, trained with Adam and torch's defaults."""
    budget = Budget(
        summary="a few turns",
        max_steps=steps,
        validate_every=steps,
        batch_size=BATCH_SIZE,
        hidden_size=HIDDEN_SIZES[task],
        seeds=[0],
        images={"mnist": "mnist-5k-v2", "cifar10": "cifar10-5k-v2"},
    )
    return SuiteSpec(
        name="overhead",
        version=1,
        summary="what a job costs in addition to its model",
        tasks=[task],
        models=["antisymmetric"],
        budgets={"turns": budget},
        default_budget="turns",
        full_budget="turns",
    )


if __name__ == "__main__":
    sys.exit(main())
