"""Which jobs a run starts: a model from outside keeps the contract first, in a process of its own.

A pass is remembered in the output folder, by the model's code and hyper-parameters and by what checked them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

import asrnn
from asrnn.source_code import source_digest
from asrnn_bench.atomic import replace
from asrnn_bench.records import Job, ModelConfig
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.environment import RUNNER_VARIABLE
from asrnn_bench.written import canonical_json, digest

TIMEOUT_SECONDS = 600.0
"""For one model with all its settings, of which each takes seconds; a model that does not end is refused too."""

_OWN = ("built-in", "not-recurrent")
"""The origins of what is in this package, whose tests hold it to the contract."""


def admit(
    waiting: Sequence[tuple[JobDirectory, Job]],
    files: Mapping[str, Path],
    output: Path,
    environment: Mapping[str, str],
    console: Console,
) -> list[JobDirectory]:
    """Return the directories whose jobs may start; the jobs of a model that breaks the contract have failed.

    Args:
        waiting: the jobs that have no result yet.
        files: the file that defines a model, by the model's name.
        output: the folder of the job directories, where passes are remembered.
        environment: what the workers get beside this process's own environment.
        console: where to say what is being checked.
    """
    passes = Passes(output)
    refused: dict[str, str] = {}
    for name, settings in _foreign(waiting).items():
        new = {key: model for key, model in settings.items() if not passes.holds(model)}
        if not new:
            continue
        console.print(f"checking {name} against the contract", soft_wrap=True)
        for (key, model), reason in zip(new.items(), _ask(list(new.values()), files, environment), strict=True):
            if reason is None:
                passes.add(model)
            else:
                refused[key] = f"refused by the contract: {reason}"
    admitted = []
    for directory, job in waiting:
        if _key(job.model) in refused:
            directory.skip("failed", refused[_key(job.model)])
        else:
            admitted.append(directory)
    return admitted


def _foreign(waiting: Sequence[tuple[JobDirectory, Job]]) -> dict[str, dict[str, ModelConfig]]:
    """Collect the models from outside, by name, and each with all the settings that it has in some job."""
    found: dict[str, dict[str, ModelConfig]] = {}
    for _, job in waiting:
        if job.model.origin not in _OWN:
            found.setdefault(job.model.name, {})[_key(job.model)] = job.model
    return found


def _key(model: ModelConfig) -> str:
    return digest({"target": model.target, "code": model.code, "hyper": model.hyper})


class Passes:
    """The models that kept the contract, remembered until something changes that they or the checks depend on."""

    def __init__(self, output: Path) -> None:
        self.folder = output / ".admitted"

    @cached_property
    def _checked_by(self) -> dict[str, str]:
        return {"asrnn": source_digest("asrnn", Path(str(asrnn.__file__))), "torch": version("torch")}

    def holds(self, model: ModelConfig) -> bool:
        """Return whether a model passed."""
        return self._file(model).exists()

    def add(self, model: ModelConfig) -> None:
        """Remember that a model passed."""
        self.folder.mkdir(exist_ok=True)
        replace(self._file(model), canonical_json(self._what(model)) + "\n")

    def _file(self, model: ModelConfig) -> Path:
        return self.folder / digest(self._what(model))

    def _what(self, model: ModelConfig) -> dict[str, object]:
        return {"target": model.target, "code": model.code, "hyper": model.hyper, **self._checked_by}


def _ask(models: Sequence[ModelConfig], files: Mapping[str, Path], environment: Mapping[str, str]) -> list[str | None]:
    """Start the process that looks at a model with each of its settings, and return why it refuses them."""
    first = models[0]
    with tempfile.TemporaryDirectory() as folder:
        target = first.target
        if first.origin == "file":  # alone in a folder, as it is in a job directory
            copy = Path(shutil.copy(files[first.name], folder))
            target = f"{copy}:{target.rpartition(':')[2]}"
        source = {"name": first.name, "origin": first.origin, "target": target, "code": first.code}
        request = json.dumps({"source": source, "hypers": [model.hyper for model in models]}, allow_nan=False)
        answer, log = Path(folder) / "answer.json", Path(folder) / "log"
        end = _run([request, str(answer)], log, environment)
        refusals: list[str | None] = json.loads(answer.read_bytes()) if answer.exists() else []
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    missing = len(models) - len(refusals)
    return refusals + [f"the check {end}{f': {said[-1][:300]}' if said else ''}"] * missing


def _run(words: list[str], log: Path, environment: Mapping[str, str]) -> str:
    """Run the process to its end, and return how that was."""
    shared = {**os.environ, **environment, RUNNER_VARIABLE: str(os.getpid())}
    with log.open("wb") as output:
        process = subprocess.Popen(
            # -P: what happens to lie in the folder where the run was started is no part of a model.
            [sys.executable, "-P", "-m", "asrnn_bench.running.admission_child", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=shared,
            process_group=0,  # an interrupt from the keyboard is for the runner, which ends the check in order
        )
        try:
            code = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"did not end within {TIMEOUT_SECONDS / 60:.0f} minutes"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what the model's code started and left behind, too
            process.wait()
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code} and no answer"
