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
"""The sizes to try: the model is checked with the first that its constructor accepts. The budgets have 64 and 128."""

TIMED_STEPS = (8, 72)
SHORTENED = ((1, 2e-3), (4, 8e-3), (16, float("inf")))
"""The divisor of sequence lengths, and the seconds of a step, forward and backward, up to which it applies.

The seconds come from two lengths, because a call may also have a constant cost."""

Found = TypeVar("Found")


def _alone(source: ModelSource) -> ModelSource:
    """Return a model's source with its file in a folder of its own, as in a job directory."""
    if source.origin != "file":
        return source
    path, _, class_name = source.target.rpartition(":")
    return replace(source, target=f"{_copied(path, source.code['sha256'])}:{class_name}")


@cache
def _copied(path: str, digest: object) -> str:
    """Copy a model's file once in a process for each content, because it is imported once."""
    folder = mkdtemp(prefix="asrnn-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(shutil.copy(path, folder))


@cache
def _reads_of(source: ModelSource) -> FileReads:
    """Return the object that records the files that a model reads; one in a process, because it is imported once."""
    return FileReads(covered_places(source), source.name)


class ModelUnderTest:
    """A model with hyper-parameters, which is built again for each check.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source.
        hyper: its hyper-parameters and those of its stack, as :func:`asrnn.models.assemble` takes them.
        input_size: the input size I of the job.
        hidden_size: the hidden size H of the job; None takes the first of a few sizes that the constructor accepts.
        device: the device of the job, ``cpu`` or ``cuda``; None is a GPU if torch sees one, as for a job.

    Raises:
        UsageError: the model or the device does not exist.
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
        """The settings of torch that importing or building the model changed, as ``name: before -> after``."""
        self.refusal = cache(self._refusal)
        self._kept: dict[Callable[[ModelUnderTest], Any], Any] = {}

    def watched(self) -> AbstractContextManager[None]:
        """Return a context that records the files that the model's code reads."""
        return self.reads.watching() if self.reads else nullcontext()

    @cached_property
    def own_hyper(self) -> dict[str, Any]:
        """The hyper-parameters of the class itself, without those of a stack of it."""
        return own_hyper(self.model_class, self.hyper)

    @cached_property
    def hidden_size(self) -> int:
        """The first size that the constructor accepts, or the first of all if it accepts none."""
        taken = (size for size in self.hidden_sizes if self.refusal(self.input_size, size) is None)
        return next(taken, self.hidden_sizes[0])

    @cached_property
    def importable(self) -> ModelSource | None:
        """The source by which another process finds the class; None if it cannot find it."""
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
        """Return the error of a constructor that refuses a size, or None."""
        try:
            with self._constructing():
                construct(self.model_class, input_size, hidden_size, self.own_hyper)
        except ModelError as error:
            return error
        return None

    def build(
        self, input_size: int | None = None, hidden_size: int | None = None, *, seed: int = 0, alone: bool = False
    ) -> RecurrentModel:
        """Build the model in float32 and in evaluation mode; with ``alone``, one layer of it without its stack.

        Raises:
            ModelError: it cannot be built, or it returns a wrong shape.
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
        """Restore the settings of torch that a constructor changes.

        Weights are drawn on the CPU, as in a job, because a seed sets only the CPU's generator.
        """
        try:
            yield
        finally:
            self.changed_settings += [each for each in self.settings.put_back() if each not in self.changed_settings]

    @cached_property
    def shortened(self) -> int:
        """The divisor of sequence lengths: 1, or more for a model whose steps take milliseconds.

        A training step over 784 steps of such a model takes seconds, and all checks at full length many minutes.
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
        """Return a sequence length, divided by :attr:`shortened`."""
        return num_steps // self.shortened

    def sequences(self, *batch_and_steps: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw sequences ``[B, T, I]`` from N(0, 1), on the device of the job."""
        return self.noise(*batch_and_steps, self.input_size, seed=seed, dtype=dtype)

    def noise(self, *shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw numbers from N(0, 1), on the device of the job."""
        return noise(*shape, seed=seed, dtype=dtype).to(self.device)

    def once(self, look: "Callable[[ModelUnderTest], Found]") -> Found:
        """Return the result of a function on this model, computed once, because several checks read it."""
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
