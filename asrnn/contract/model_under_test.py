"""Build the model under test, at the size and on the device of a job."""

import atexit
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache, cached_property
from tempfile import mkdtemp
from typing import Any, TypeVar

import torch
from torch import Tensor

from asrnn.construction import Model, construct, model_class_of
from asrnn.contract.running import gradients_of, model_code, noise, run
from asrnn.contract.settings import Settings
from asrnn.errors import AsrnnError, ModelError, UsageError
from asrnn.models import RecurrentModel, assemble, own_hyper
from asrnn.registry import ModelSource, covered_places, find_model
from asrnn.sources.file_reads import FileReads

INPUT_SIZE = 3
HIDDEN_SIZES = (64, 128, 256, 512, 16, 8)
"""The first that a model's constructor takes is the one it is checked with: 64 and 128 are those of the budgets."""

TIMED_STEPS = (8, 72)
SHORTENED = ((1, 2e-3), (4, 8e-3), (16, float("inf")))
"""By what lengths are divided up to how many seconds that a step takes, forward and backward: from two lengths, as a
call may also have something to do once."""

Found = TypeVar("Found")


def _alone(source: ModelSource) -> ModelSource:
    """Return a model's source, its file in a folder of its own: in a job directory, nothing else lies beside it."""
    if source.origin != "file":
        return source
    path, _, class_name = source.target.rpartition(":")
    return replace(source, target=f"{_copied(path, source.code['sha256'])}:{class_name}")


@cache
def _copied(path: str, digest: object) -> str:
    """Copy a model's file once a process for each content, as it is imported once."""
    folder = mkdtemp(prefix="asrnn-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(shutil.copy(path, folder))


@cache
def _reads_of(source: ModelSource) -> FileReads:
    """Return what notes the reads of a model: one a process, as a model is imported once a process."""
    return FileReads(covered_places(source), source.name)


class ModelUnderTest:
    """A model, by its name, reference or class, with hyper-parameters, that is built afresh for each check.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source.
        hyper: its hyper-parameters, and those of a stack of it, as :func:`asrnn.models.assemble` takes them.
        input_size: I of the job.
        hidden_size: H of the job; None takes the first of a few sizes that the constructor accepts.
        device: where the job trains, ``cpu`` or ``cuda``; None is a GPU where torch sees one, as for a job.

    Raises:
        UsageError: the model or the device is not to be found.
        ModelError: the model cannot be imported.
    """

    def __init__(
        self,
        model: Model,
        hyper: Mapping[str, object],
        *,
        input_size: int = INPUT_SIZE,
        hidden_size: int | None = None,
        device: str | None = None,
    ) -> None:
        self.device = _usable_device(device)
        self.settings = Settings.now()
        found = find_model(model) if isinstance(model, str) else model
        self.source = _alone(found) if isinstance(found, ModelSource) else None
        self.reads = _reads_of(self.source) if self.source else None
        with self.watched():
            self.model_class = model_class_of(self.source or found)
        self.name = self.source.name if self.source else self.model_class.__name__
        self.hyper = dict(hyper)
        self.input_size = input_size
        self.hidden_sizes = HIDDEN_SIZES if hidden_size is None else (hidden_size,)
        self.changed_settings = self.settings.put_back()
        """Settings of torch that importing or building the model has changed, each as ``name: before -> after``."""
        self.refusal = cache(self._refusal)
        self._kept: dict[Callable[[ModelUnderTest], Any], Any] = {}

    def watched(self) -> AbstractContextManager[None]:
        """Return a context in which it is seen what files the model's code reads."""
        return self.reads.watching() if self.reads else nullcontext()

    @cached_property
    def own_hyper(self) -> dict[str, Any]:
        """The hyper-parameters of the class itself, without those of a stack of it."""
        return own_hyper(self.model_class, self.hyper)

    @cached_property
    def hidden_size(self) -> int:
        """The first of the sizes that the constructor takes; the first of all where it takes none."""
        taken = (size for size in self.hidden_sizes if self.refusal(self.input_size, size) is None)
        return next(taken, self.hidden_sizes[0])

    @cached_property
    def importable(self) -> ModelSource | None:
        """Where another process finds the class; None for one that it cannot find."""
        if self.source is not None:
            return self.source
        module, name = self.model_class.__module__, self.model_class.__qualname__
        if module == "__main__" or "." in name:
            return None
        try:
            return find_model(f"{module}:{name}")
        except AsrnnError:
            return None

    def _refusal(self, input_size: int, hidden_size: int) -> ModelError | None:
        """Return why the constructor refuses a size, or None where it does not."""
        try:
            with self._constructing():
                construct(self.model_class, input_size, hidden_size, self.own_hyper)
        except ModelError as error:
            return error
        return None

    def build(
        self, input_size: int | None = None, hidden_size: int | None = None, *, seed: int = 0, alone: bool = False
    ) -> RecurrentModel:
        """Build the model anew, in float32 and in evaluation mode; ``alone``, one layer of it without a stack around.

        Raises:
            ModelError: it cannot be built, or returns a wrong shape.
        """
        with model_code(), self._constructing():
            model = assemble(
                self.source or self.model_class,
                self.own_hyper if alone else self.hyper,
                input_size=self.input_size if input_size is None else input_size,
                hidden_size=self.hidden_size if hidden_size is None else hidden_size,
                num_outputs=2,
                seed=seed,
                device=self.device,
            )
            return model.eval()

    @contextmanager
    def _constructing(self) -> Iterator[None]:
        """Put back what a constructor changes of torch's settings.

        It draws its weights on the CPU, as in a job, since a seed is the seed of the CPU's generator alone.
        """
        try:
            yield
        finally:
            self.changed_settings += [each for each in self.settings.put_back() if each not in self.changed_settings]

    @cached_property
    def shortened(self) -> int:
        """By what the lengths of sequences are divided: 1, or more for a model whose every step takes milliseconds.

        A training step of 784 steps then takes seconds, and all checks at full length would take many minutes.
        """
        model = self.build().train()
        short, long = (min(self._seconds(model, T) for _ in range(2)) for T in TIMED_STEPS)
        seconds = (long - short) / (TIMED_STEPS[1] - TIMED_STEPS[0])
        return next((divisor for divisor, most in SHORTENED if seconds <= most), SHORTENED[-1][0])

    def _seconds(self, model: RecurrentModel, num_steps: int) -> float:
        began = time.process_time()
        outputs = run(model, self.sequences(2, num_steps)).outputs
        gradients_of(outputs.sum(), list(model.recurrence.parameters()))
        return time.process_time() - began

    def length(self, num_steps: int) -> int:
        """Return a length of sequences, shorter where the model is slow."""
        return num_steps // self.shortened

    def sequences(self, *batch_and_steps: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw sequences ``[B, T, I]`` from N(0, 1), on the device of the job."""
        return self.noise(*batch_and_steps, self.input_size, seed=seed, dtype=dtype)

    def noise(self, *shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw numbers from N(0, 1), on the device of the job."""
        return noise(*shape, seed=seed, dtype=dtype).to(self.device)

    def once(self, look: "Callable[[ModelUnderTest], Found]") -> Found:
        """Return what a function finds out about this model, computed at most once: several checks may read it."""
        if look not in self._kept:
            self._kept[look] = look(self)
        found: Found = self._kept[look]
        return found


def _usable_device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"'{name}' is no device that torch knows; use cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"torch sees no CUDA device here, so nothing can be checked on '{name}'; leave --device out")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"jobs train on cpu or cuda, so no model is checked on '{name}'")
    return name
