"""Check models from outside this package against the contract, in another process, before their jobs start.

A model is checked with the sizes of its jobs: on their device with the local launcher, on the CPU before Slurm and Ray.
The output folder remembers models that passed, by code, sizes, hyper-parameters, kind of device, and the versions of
asrnn and torch.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

import asrnn
from asrnn.sources.source_code import source_digest
from asrnn_bench.files.canonical import canonical_json, digest
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.files.writing import is_there, replace
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import RUNNER_VARIABLE
from asrnn_bench.machine.gpus import VISIBLE_VARIABLE
from asrnn_bench.records.job import Job, ModelConfig
from asrnn_data.tasks import find_task

TIMEOUT_SECONDS = 600.0
"""The most time for one setting of a model, which usually takes seconds; a setting that takes longer is refused."""

POLL_SECONDS = 0.1

_OWN = ("built-in", "not-recurrent")
"""The origins of the models of this package, which its tests check."""


def admit(
    waiting: Sequence[tuple[JobDirectory, Job]],
    files: Mapping[str, Path],
    output: Path,
    environment: Mapping[str, str],
    console: Console,
) -> list[JobDirectory]:
    """Return the directories of the jobs that may start. The jobs of a model that breaks the contract fail.

    Args:
        waiting: the jobs that have no result yet.
        files: the file that defines a model, by the model's name.
        output: the folder of the job directories, where passes are remembered.
        environment: variables of the workers beside those of this process.
        console: where to print which model is checked.
    """
    refused: dict[str, str] = {}
    inputs = _input_sizes(waiting)
    passes = Passes(output, _device_kind({**os.environ, **environment}), inputs)
    for name, settings in _foreign(waiting).items():
        new = {key: model for key, model in settings.items() if not passes.holds(model)}
        if not new:
            continue
        console.print(f"checking {name} against the contract", soft_wrap=True)
        for (key, model), reason in zip(new.items(), _ask(list(new.values()), files, environment, inputs), strict=True):
            if reason is None:
                passes.add(model)
            else:
                refused[key] = f"refused by the contract: {reason}"
    admitted, patience = [], None
    for directory, job in waiting:
        reason = refused.get(_key(job.model))
        if reason is None:
            admitted.append(directory)
            continue
        try:
            wait_out(partial(directory.skip, "failed", reason), patience)
        except OSError as error:  # the job does not start nevertheless
            patience = 0.0
            words = f"{job.label}: {reason}; {directory.path} does not take that: {error.strerror}"
            console.print(f"warning: {words}", soft_wrap=True)
    return admitted


def _foreign(waiting: Sequence[tuple[JobDirectory, Job]]) -> dict[str, dict[str, ModelConfig]]:
    """Return the models from outside this package by name, each with all of its settings in some job."""
    found: dict[str, dict[str, ModelConfig]] = {}
    for _, job in waiting:
        if job.model.origin not in _OWN:
            found.setdefault(job.model.name, {})[_key(job.model)] = job.model
    return found


def _input_sizes(waiting: Sequence[tuple[JobDirectory, Job]]) -> dict[str, int]:
    """Return the input size of the first task of each setting; for other sizes the contract checks shapes only."""
    sizes: dict[str, int] = {}
    for _, job in waiting:
        if job.model.origin not in _OWN:
            sizes.setdefault(_key(job.model), find_task(job.task.name).input_size)
    return sizes


def _device_kind(variables: Mapping[str, str]) -> str:
    """Return the device of a process with these variables: slots name their GPUs, and no name means the CPU."""
    return "cuda" if variables.get(VISIBLE_VARIABLE) else "cpu"


def _what(model: ModelConfig) -> dict[str, object]:
    return {"target": model.target, "code": model.code, "hyper": model.hyper, "hidden_size": model.hidden_size}


def _key(model: ModelConfig) -> str:
    return digest(_what(model))


class Passes:
    """The models that passed the checks, remembered until the model, the checks or their device changes."""

    def __init__(self, output: Path, device: str, input_sizes: Mapping[str, int]) -> None:
        self.folder = output / ".admitted"
        self._device = device
        self._input_sizes = input_sizes

    @cached_property
    def _checked_by(self) -> dict[str, str]:
        return {"asrnn": source_digest("asrnn", Path(str(asrnn.__file__))), "torch": version("torch")}

    def holds(self, model: ModelConfig) -> bool:
        """Return whether a model is known to have passed; if the file cannot be read, the model is checked again."""
        with suppress(OSError):
            return is_there(self._file(model))
        return False

    def add(self, model: ModelConfig) -> None:
        """Remember that a model passed; if that cannot be written, the model is checked again next time."""
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            replace(self._file(model), canonical_json(self._what(model)) + "\n")

    def _file(self, model: ModelConfig) -> Path:
        return self.folder / digest(self._what(model))

    def _what(self, model: ModelConfig) -> dict[str, object]:
        where = {"device": self._device, "input_size": self._input_sizes.get(_key(model))}
        return {**_what(model), **where, **self._checked_by}


def _ask(
    models: Sequence[ModelConfig],
    files: Mapping[str, Path],
    environment: Mapping[str, str],
    input_sizes: Mapping[str, int] | None = None,
) -> list[str | None]:
    """Check a model with each of its settings in another process, and return the reason of each refusal.

    A setting that ends the process, or does not end, is refused; the other settings are checked in a new process.
    """
    first, refusals = models[0], list[str | None]()
    with tempfile.TemporaryDirectory() as folder:
        target = first.target
        if first.origin == "file":
            target = f"{files[first.name].resolve()}:{target.rpartition(':')[2]}"
        source = {"name": first.name, "origin": first.origin, "target": target, "code": first.code}
        while len(refusals) < len(models):
            settings = [
                {"hyper": m.hyper, "hidden_size": m.hidden_size, "input_size": (input_sizes or {}).get(_key(m))}
                for m in models[len(refusals) :]
            ]
            request = json.dumps({"source": source, "settings": settings}, allow_nan=False)
            answer, log = Path(folder) / "answer.json", Path(folder) / "log"
            answer.unlink(missing_ok=True)
            end = _run([request, str(answer)], answer, log, environment)
            found: list[str | None] = _answers(answer)
            refusals += found
            if len(found) < len(settings):
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                refusals.append(f"the check {end}{f': {said[-1][:300]}' if said else ''}")
    return refusals


def _answers(answer: Path) -> list[str | None]:
    found: list[str | None] = json.loads(answer.read_bytes()) if answer.exists() else []
    return found


def _run(words: list[str], answer: Path, log: Path, environment: Mapping[str, str]) -> str:
    """Run the process until it ends, or gives no answer for too long, and return in words how it ended."""
    shared = {**os.environ, **environment, RUNNER_VARIABLE: str(os.getpid())}
    with log.open("wb") as output:
        process = subprocess.Popen(
            # -P: files in the folder where the run was started are not part of a model.
            [sys.executable, "-P", "-m", "asrnn_bench.worker.check_model", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=shared,
            process_group=0,  # an interrupt from the keyboard goes to the runner alone, which ends the check
        )
        try:
            code = _wait(process, answer)
        except subprocess.TimeoutExpired:
            return f"did not end within {TIMEOUT_SECONDS / 60:.0f} minutes"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # also ends processes that the model's code has started
            process.wait()
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code} and no answer"


def _wait(process: "subprocess.Popen[bytes]", answer: Path) -> int:
    """Wait for the end of the process; the time limit begins anew with each answer.

    Raises:
        subprocess.TimeoutExpired: an answer took too long.
    """
    known, deadline = 0, time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return process.wait(min(POLL_SECONDS, TIMEOUT_SECONDS))
        except subprocess.TimeoutExpired:
            now = len(_answers(answer))
            if now > known:
                known, deadline = now, time.monotonic() + TIMEOUT_SECONDS
            if time.monotonic() > deadline:
                raise
