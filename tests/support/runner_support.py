"""Run the command line in a process that tests kill, and find the processes that it leaves."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from bench_support import COMMAND

from asrnn_bench.jobs.directory import JobDirectory


@contextmanager
def runner(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run ``asrnn-bench`` in a folder, and kill all of its processes at the end."""
    environment = {name: value for name, value in os.environ.items() if name != "ASRNN_DATA_DIR"}
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for each in family(process.pid):
            with suppress(psutil.Error):
                each.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all processes that it started."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def directories(folder: Path, model: str = "*") -> list[JobDirectory]:
    """Return the job directories of a run, or those of one model."""
    return [JobDirectory(file.parent) for file in sorted(folder.glob(f"runs/*/*/{model}/*/job.json"))]


def progress(folder: Path, model: str) -> int:
    """Return the step of the only job of a model; 0 before it trains."""
    found = directories(folder, model)
    return int(found[0].progress().get("step") or 0) if found else 0
