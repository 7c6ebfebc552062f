"""Lightning's own loggers, by name: CSV, TensorBoard and Weights & Biases.

They are for people who watch. No result is read from what they write, and one that fails does not fail a job. Importing
this module imports no torch, and a logger's package is imported where that logger was asked for, and nowhere else.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asrnn_bench.jobs.options import LoggerName
from asrnn_bench.records.job import Job

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


def make_loggers(names: Sequence[LoggerName], folder: Path, job: Job) -> "list[Logger]":
    """Return the loggers of an attempt; each writes to a folder of its own name, and its failures are its own.

    In an attempt's folder nothing was logged before, so the CSV logger, which begins by deleting what is there, deletes
    nothing. All attempts of a job are one run of Weights & Biases, which is offline unless WANDB_MODE says otherwise.

    Args:
        names: which loggers.
        folder: the attempt's.
        job: what is logged as hyper-parameters.
    """
    from asrnn_bench.worker.guarded_logger import GuardedLogger

    makers: dict[LoggerName, Callable[[Path, Job], Logger]] = {
        "csv": _csv,
        "tensorboard": _tensorboard,
        "wandb": _wandb,
    }
    hyperparameters = {"key": job.key, **job.model_dump(mode="json")}
    return [GuardedLogger(name, partial(makers[name], folder, job), hyperparameters) for name in names]


def _csv(folder: Path, job: Job) -> "Logger":
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="csv", version="")


def _tensorboard(folder: Path, job: Job) -> "Logger":
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)


def _wandb(folder: Path, job: Job) -> "Logger":
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        name=job.label,
        save_dir=folder,
        id=job.key[:32],
        project=os.environ.get("WANDB_PROJECT", "asrnn-bench"),
        mode=os.environ.get("WANDB_MODE", "offline"),
        # What a worker prints belongs to its own log, and the address of a repository may hold a password.
        settings={"console": "off", "disable_git": True, "save_code": False},
    )
