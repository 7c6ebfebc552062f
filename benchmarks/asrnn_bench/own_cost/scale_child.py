"""Run a process that ``own_cost.scale`` measures: ``python -m asrnn_bench.own_cost.scale_child VERB ...``.

The last line of standard error is a remark for the table.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.own_cost.pool_use import measure_pool
from asrnn_bench.own_cost.synthetic_run import plan_of, write_run, write_suite
from asrnn_bench.preparing import Folders, prepare
from asrnn_bench.watching.display import Display
from asrnn_bench.watching.observer import Observer

REFRESH_SECONDS = 0.05
"""The interval at which the pool refreshes the display."""


def write(folder: str, jobs: str) -> None:
    """Write a suite and a run of it, say so, and stay alive, because this process claims the running jobs."""
    suite = Path(folder) / "suite.toml"
    count = write_suite(suite, int(jobs))
    start = time.perf_counter()
    write_run(suite, Path(folder) / "run")
    sys.stdout.write(f"{count} synthetic jobs, written in {time.perf_counter() - start:.0f} s\n")
    sys.stdout.flush()
    sys.stdin.read()


def plan(suite: str, output: str) -> None:
    """Do everything that a run does before its first job."""
    planned = plan_of(Path(suite))
    directories = [JobDirectory.of(Path(output), job) for job in planned.jobs]
    waiting = prepare(planned, directories, Folders(Path(output)), LaunchSettings())
    sys.stderr.write(f"{len(waiting)} to run\n")


def watch(output: str, seconds: str) -> None:
    """Keep the live table up to date for some seconds, and report the processor time that it took."""
    observer, _ = Observer.below(Path(output))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - not a path of ours
        console = Console(file=nowhere, force_terminal=True, width=120, height=50)
        with Display(observer, console, slots=2).open() as display:
            start, before = time.monotonic(), time.process_time()
            while time.monotonic() - start < float(seconds):
                display.refresh()
                time.sleep(REFRESH_SECONDS)
            share = (time.process_time() - before) / (time.monotonic() - start)
    sys.stderr.write(f"{share:.1%} of a core while it watches\n")


def pool(folder: str, jobs: str) -> None:
    """Run short jobs two at a time, and report how busy the two places were."""
    sys.stderr.write(measure_pool(Path(folder), int(jobs)) + "\n")


VERBS: dict[str, Callable[..., None]] = {"write": write, "plan": plan, "watch": watch, "pool": pool}

if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    VERBS[verb](*words)
