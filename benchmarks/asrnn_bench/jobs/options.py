"""Define the options with which jobs are run. None of them changes a result or is part of a job's identity."""

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.files.canonical import canonical_json
from asrnn_bench.records.fields import Frozen
from asrnn_data.image_sets import DATA_DIR_VARIABLE

OPTIONS_VARIABLE = "ASRNN_BENCH_OPTIONS"
"""Set for each supervisor and worker, to the options as JSON."""

LoggerName = Literal["csv", "tensorboard", "wandb"]


class Options(Frozen):
    """The options of a run, for the supervisor and the worker of each job.

    Times are in seconds. ``python_path`` is where models in modules are found. ``retries`` is how often a job that was
    killed is tried again without progress. ``grace_seconds`` is the time in which a worker has to save and end.
    ``look_seconds`` is the interval at which a worker writes its progress and its supervisor reads it.
    """

    data_dir: str | None = None
    python_path: str | None = None
    devices_per_job: int = Field(default=1, ge=1)
    nodes_per_job: int = Field(default=1, ge=1)
    checkpoint_seconds: float | None = Field(default=300.0, gt=0)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    time_limit_seconds: float | None = Field(default=None, gt=0)
    hang_seconds: float = Field(default=600.0, gt=0)
    retries: int = Field(default=2, ge=0)
    keep_checkpoints: bool = False
    loggers: tuple[LoggerName, ...] = ("csv",)
    grace_seconds: float = Field(default=30.0, gt=0)
    look_seconds: float = Field(default=1.0, gt=0)

    @property
    def world_size(self) -> int:
        """The processes that train one job together."""
        return self.devices_per_job * self.nodes_per_job

    def on_a_cluster(self) -> Self:
        """Return the options for many jobs on a file server: progress is read as rarely as ``--hang-after`` allows."""
        return self.model_copy(update={"look_seconds": max(self.look_seconds, self.hang_seconds / 60)})

    def environment(self) -> dict[str, str]:
        """Return the environment variables that hold the options, for supervisors and workers."""
        found = {OPTIONS_VARIABLE: canonical_json(self.model_dump(mode="json"))}
        if self.data_dir is not None:
            found[DATA_DIR_VARIABLE] = self.data_dir
        if self.python_path is not None:
            found["PYTHONPATH"] = self.python_path
        return found

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Return the options from the environment of this process, or the default ones."""
        said = json.loads(variables.get(OPTIONS_VARIABLE, "{}"))
        return cls.model_validate({"data_dir": variables.get(DATA_DIR_VARIABLE) or None, **said})


def chosen_loggers(names: Sequence[str]) -> tuple[LoggerName, ...]:
    """Return loggers by name; ``none`` means none.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = get_args(LoggerName)
    for name in names:
        if name not in (*known, "none"):
            raise UnknownNameError("logger", name, (*known, "none"))
    return tuple(each for each in known if each in names)


def make_options(values: Mapping[str, Any]) -> Options:
    """Return options from values by name.

    Raises:
        UsageError: there is no such option, or a value is out of its range.
    """
    own = set(Options.model_fields) - {"data_dir", "python_path"}  # a run knows these itself
    for name in values:
        if name not in own:
            raise UnknownNameError("option", name, sorted(own))
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}; found {first['input']!r}") from error


EXTRAS: tuple[LoggerName, ...] = ("tensorboard", "wandb")
"""Loggers that need a package of the same name, which is an extra of asrnn-bench."""


def missing_loggers(names: Sequence[LoggerName]) -> str | None:
    """Return a line that names the loggers that are not installed and what to do; None if all are installed."""
    lacking = ",".join(name for name in EXTRAS if name in names and not _is_installed(name))
    if not lacking:
        return None
    install = f'pip install ".[{lacking}]"'
    return f"--logger {lacking}: not installed here; run `{install}` in the sources, or leave it out"


def _is_installed(package: str) -> bool:
    # W&B leaves folders named wandb, which Python takes for packages without an origin.
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
