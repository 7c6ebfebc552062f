"""Run a suite from Python: ``asrnn_bench.run``."""

import inspect
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from asrnn.errors import ModelError, UsageError
from asrnn_bench.files.paths import expanded
from asrnn_bench.files.plain_text import plain
from asrnn_bench.jobs.handover import ENDING_SIGNALS, WORKER_VARIABLE
from asrnn_bench.jobs.options import make_options
from asrnn_bench.launching.choice import known_launcher
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute
from asrnn_data.image_sets import resolve_data_dir

if TYPE_CHECKING:
    import pandas as pd


def run(
    suite: str = "long-range",
    *,
    models: Sequence[str | type] = (),
    tasks: Sequence[str] = (),
    seeds: Sequence[int] = (),
    budget: str | None = None,
    max_steps: int | None = None,
    threads: int = 1,
    devices: int | None = None,
    jobs_per_device: int = 1,
    output: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    data_dir: str | Path | None = None,
    launcher: str = "local",
    slurm_options: Sequence[str] = (),
    ray_address: str | None = None,
    retry_failed: bool = False,
    join: bool = False,
    **options: Any,
) -> "pd.DataFrame":
    """Run a suite and return its leaderboard, as ``asrnn-bench --suite`` does.

    Args:
        suite: a shipped suite or a TOML file.
        models: registered names, rows of the suite, ``FILE.py:Class``, ``package.module:Class``, or classes that are
            defined in a file.
        tasks: tasks of the suite; empty means all.
        seeds: empty means the seeds of the budget.
        budget: how long a job trains; by default the suite's default budget.
        max_steps: optimiser steps of each job, in place of the budget's; the budget then gets another name.
        threads: CPU threads of one job.
        devices: how many GPUs, or groups of cores; by default all.
        jobs_per_device: how many jobs share one device.
        output: the folder of the job directories.
        leaderboards: the folder of records and leaderboards.
        data_dir: a root that torchvision accepts; by default ``ASRNN_DATA_DIR``.
        launcher: ``local``, ``ray`` or ``slurm``.
        slurm_options: options of sbatch, such as ``["partition=gpu"]``.
        ray_address: HOST:PORT of a Ray cluster; by default the run starts a cluster on this machine.
        retry_failed: start failed jobs again.
        join: work beside another runner in the same folder.
        options: how each job runs: ``devices_per_job``, ``checkpoint_seconds``, ``time_limit_seconds``, ``retries``,
            ``loggers`` and the other fields of :class:`asrnn_bench.jobs.options.Options`.

    Returns:
        the leaderboard rows of this run; a job without a score has a row with the reason.

    Raises:
        AsrnnError: the run cannot be done; the message says what to change.
    """
    from asrnn_bench.results.leaderboard import frame

    if WORKER_VARIABLE in os.environ:
        raise UsageError("asrnn_bench.run was called by a model's own file; put it under if __name__ == '__main__':")
    for name, value in {"models": models, "tasks": tasks, "seeds": seeds}.items():
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise UsageError(f"{name} must be a list, such as {name}=[{value!r}]")
    refs = [model if isinstance(model, str) else class_reference(model) for model in models]
    request = Request(budget, refs, tasks, seeds, max_steps, threads)
    folders = Folders(expanded(output), expanded(leaderboards), resolve_data_dir(data_dir))
    console = Console(highlight=False, markup=False)
    plan = make_plan(load_suite(suite), request)
    settings = LaunchSettings(
        devices=devices,
        jobs_per_device=jobs_per_device,
        launcher=known_launcher(launcher),
        options=make_options(options),
        slurm_options=tuple(slurm_options),
        ray_address=ray_address,
        join=join,
        retry_failed=retry_failed,
    )
    with _ended_in_order():
        outcome = execute(plan, folders, settings, console)
        for fault in outcome.faults:
            console.print(f"warning: {plain(fault)}", soft_wrap=True)
        return frame(outcome.records)


class _EndedError(BaseException):
    """A signal asks this process to end; the argument is its number."""


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """End the workers in order when a signal asks this process to end, as the command line does.

    Schedulers send SIGTERM before a time limit. A signal that the caller handles is left to the caller.
    """
    taken: list[int] = []
    if threading.current_thread() is threading.main_thread():  # only this thread can handle signals
        taken = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        raise _EndedError(number)

    for number in taken:
        signal.signal(number, end)
    ended_by = None
    try:
        yield
    except _EndedError as error:
        ended_by = int(error.args[0])
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
    if ended_by is not None:
        os.kill(os.getpid(), ended_by)


def class_reference(model: type) -> str:
    """Return the reference by which another process finds a class.

    A class of a package is named by its module; any other class by its file, which is copied to each job.

    Raises:
        ModelError: the class is not defined in a file, but typed at a prompt.
    """
    if not isinstance(model, type):
        raise ModelError(f"a model is a name or a class, not {model!r}")
    try:
        file = inspect.getsourcefile(model)
    except (TypeError, OSError):
        file = None
    if "." in model.__qualname__ or file is None or not Path(file).is_file():
        raise ModelError(
            f"{model.__qualname__} is not at the top of a file: write it to one, as FILE.py:{model.__name__}"
        )
    top = model.__module__.partition(".")[0]
    spec = find_spec(top) if top != "__main__" else None
    packaged = spec is not None and (spec.submodule_search_locations is not None or "site-packages" in Path(file).parts)
    return f"{model.__module__}:{model.__name__}" if packaged else f"{file}:{model.__name__}"
