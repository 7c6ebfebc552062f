"""A logger whose failures are its own, and not those of the training that it watches."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

T = TypeVar("T")


class GuardedLogger(Logger):
    """Passes everything on to a logger until that fails for the first time; says so on stderr, and then does nothing.

    A logger may fail wherever it is used, when it is made included: a full disk, a package that is gone, a server that
    does not answer. What it fails with is then written in one line.

    Args:
        label: what the logger is called in that line.
        make: returns the logger; it is called at once.
        hyperparameters: what to log as hyper-parameters; they are logged before anything else is, but not before a
            trainer uses the logger: it is then that Lightning knows whether this process is the one that logs.
    """

    def __init__(self, label: str, make: Callable[[], Logger], hyperparameters: dict[str, Any]) -> None:
        super().__init__()
        self._label = label
        self._hyperparameters: dict[str, Any] | None = hyperparameters
        self._failed = False
        self._logger = self._try(make, None)

    @property
    def name(self) -> str | None:
        """The logger's name for what it logs."""
        return self._ask("name", None)

    @property
    def version(self) -> int | str | None:
        """The logger's version of what it logs."""
        return self._ask("version", None)

    @property
    def root_dir(self) -> str | None:
        """Where the logger keeps all versions, if it writes files."""
        return self._ask("root_dir", None)

    @property
    def log_dir(self) -> str | None:
        """Where the logger keeps this version, if it writes files."""
        return self._ask("log_dir", None)

    @property
    def save_dir(self) -> str | None:
        """Where the logger writes files, if it does."""
        return self._ask("save_dir", None)

    @property
    def group_separator(self) -> str:
        """What stands between the group and the name of a metric."""
        return self._ask("group_separator", "/")

    @property
    def experiment(self) -> Any:
        """What the logger logs to; used directly, its failures are those of who uses it."""
        return self._ask("experiment", DummyLogger().experiment)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log metrics."""
        self._tell("log_metrics", metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the job's hyper-parameters alone: those that Lightning collects repeat them, and name folders."""
        self._log_own()

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Log the graph of a model."""
        self._tell("log_graph", model, input_array)

    def save(self) -> None:
        """Write what was logged."""
        self._tell("save")

    def finalize(self, status: str) -> None:
        """Write what was logged, at the end of a fit or a test."""
        self._tell("finalize", status)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Tell the logger that Lightning saved a checkpoint."""
        self._tell("after_save_checkpoint", checkpoint_callback)

    def _ask(self, name: str, default: T) -> T:
        return self._try(lambda: getattr(self._logger, name), default)

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
        except Exception as error:  # whatever it is, the training goes on
            self._failed = True
            text = next(iter(str(error).splitlines()), "no message")[:300]
            with suppress(OSError):  # the disk that is full may hold this stream as well
                sys.stderr.write(
                    f"the {self._label} logger failed, and nothing is logged to it from here on: "
                    f"{type(error).__name__}: {text}\n"
                )
                sys.stderr.flush()
            return default
