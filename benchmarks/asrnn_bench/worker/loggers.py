"""Make Lightning's loggers by name (CSV, TensorBoard, Weights & Biases), so that none of them can fail a training.

They are for people who watch. No result is read from what they write. The package of a logger is imported only if that
logger is asked for.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.logger import DummyLogger

from asrnn_bench.jobs.options import LoggerName
from asrnn_bench.records.job import Job

T = TypeVar("T")


def make_loggers(names: Sequence[LoggerName], folder: Path, job: Job) -> list[Logger]:
    """Return the loggers of an attempt. Each writes to a folder of its own name.

    The CSV logger first deletes what is in its folder; the folder of an attempt is new. All attempts of a job are one
    run of Weights & Biases, which is offline unless WANDB_MODE says otherwise.

    Args:
        names: which loggers.
        folder: the folder of the attempt.
        job: the job, which is logged as hyper-parameters.
    """
    makers: dict[LoggerName, Callable[[Path, Job], Logger]] = {
        "csv": _csv,
        "tensorboard": _tensorboard,
        "wandb": _wandb,
    }
    hyperparameters = {"key": job.key, **job.model_dump(mode="json")}
    return [GuardedLogger(name, partial(makers[name], folder, job), hyperparameters) for name in names]


def _csv(folder: Path, job: Job) -> Logger:
    return CSVLogger(folder, name="csv", version="")


def _tensorboard(folder: Path, job: Job) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)


def _wandb(folder: Path, job: Job) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        name=job.label,
        save_dir=folder,
        id=job.key[:32],
        project=os.environ.get("WANDB_PROJECT", "asrnn-bench"),
        mode=os.environ.get("WANDB_MODE", "offline"),
        # The output of a worker belongs in its own log, and the address of a repository may hold a password.
        settings={"console": "off", "disable_git": True, "save_code": False},
    )


def _asked(name: str, default: Any = None) -> Any:
    """Return a property with the value of the guarded logger's property, or the default after a failure."""
    return property(lambda self: self._try(lambda: getattr(self._logger, name), default))


def _told(name: str) -> Any:
    """Return a method that calls the guarded logger's method of that name."""

    def call(self: "GuardedLogger", *args: Any, **kwargs: Any) -> None:
        self._tell(name, *args, **kwargs)

    return call


class GuardedLogger(Logger):
    """Pass all calls on to a logger until it fails for the first time; then report that on stderr and do nothing.

    A logger may fail in any call, and when it is made: a full disk, a missing package, a server that does not answer.
    The report is one line. A failure of the ``experiment``, if it is used directly, is not caught.

    Args:
        label: the name of the logger in the report.
        make: returns the logger; it is called at once.
        hyperparameters: what to log as hyper-parameters. They are logged first, but only when a trainer uses the
            logger: before that, Lightning does not know whether this process is the one that logs.
    """

    def __init__(self, label: str, make: Callable[[], Logger], hyperparameters: dict[str, Any]) -> None:
        super().__init__()
        self._label = label
        self._hyperparameters: dict[str, Any] | None = hyperparameters
        self._failed = False
        self._logger = self._try(make, None)

    name = _asked("name")
    version = _asked("version")
    root_dir = _asked("root_dir")
    log_dir = _asked("log_dir")
    save_dir = _asked("save_dir")
    group_separator = _asked("group_separator", "/")
    experiment = _asked("experiment", DummyLogger().experiment)
    log_metrics = _told("log_metrics")
    log_graph = _told("log_graph")
    save = _told("save")
    finalize = _told("finalize")
    after_save_checkpoint = _told("after_save_checkpoint")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the hyper-parameters of the job only: those of Lightning repeat them, and name folders."""
        self._log_own()

    def _tell(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._log_own()
        self._try(lambda: getattr(self._logger, name)(*args, **kwargs), None)

    def _log_own(self) -> None:
        if self._hyperparameters is not None:
            hyperparameters, self._hyperparameters = self._hyperparameters, None
            self._tell("log_hyperparams", hyperparameters)

    def _try(self, call: Callable[[], T], default: T) -> T:
        if self._failed:
            return default
        try:
            return call()
        except Exception as error:  # whatever fails, the training goes on
            self._failed = True
            text = next(iter(str(error).splitlines()), "no message")[:300]
            with suppress(OSError):  # stderr may be on the disk that is full
                sys.stderr.write(
                    f"the {self._label} logger failed, and nothing is logged to it from here on: "
                    f"{type(error).__name__}: {text}\n"
                )
                sys.stderr.flush()
            return default
