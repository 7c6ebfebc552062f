"""The model under test: how it is built at the size and on the device of a job, and how it is run."""

import atexit
import inspect
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, cached_property
from tempfile import mkdtemp
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

from asrnn.cells import RecurrentCell
from asrnn.construction import Model, construct, model_class_of
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

NO_STATE = ("len", "mask", "pad", "time", "dt", "delta", "position", "flag", "training", "return", "label", "target")
"""Parts of the names of arguments that are no state."""

Found = TypeVar("Found")


class RaisedError(Exception):
    """The model's own code raised something.

    Args:
        cause: what it raised.
    """

    def __init__(self, cause: Exception | SystemExit) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def model_code() -> Iterator[None]:
    """Tell what the model's code raises from what a check raises.

    Raises:
        RaisedError: something was raised inside, which is its cause.
        AsrnnError: it was raised inside; its message is one line already.
    """
    try:
        yield
    except AsrnnError:
        raise
    except (Exception, SystemExit) as error:
        raise RaisedError(error) from error


@contextmanager
def calling() -> Iterator[None]:
    """Call a model: a parametrized weight is computed once a call, not once a step, which gives the same numbers.

    Raises:
        RaisedError: something was raised inside, which is its cause.
        AsrnnError: it was raised inside.
    """
    with model_code(), parametrize.cached():
        yield


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of one run over a sequence.

    Args:
        sequence: the outputs of all steps, ``[B, T, H]``; None for a model that returns the last one alone.
        last: the output of the last step, ``[B, H]``.
        state: what the model returns to go on from; None where it returns nothing.
    """

    sequence: Tensor | None
    last: Tensor
    state: object

    @property
    def outputs(self) -> Tensor:
        """All outputs that can be seen, with the time axis where there is one."""
        return self.last if self.sequence is None else self.sequence


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


class Subject:
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
        self._kept: dict[Callable[[Subject], Any], Any] = {}

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

    def once(self, look: "Callable[[Subject], Found]") -> Found:
        """Return what a function finds out about this model, computed at most once: several checks may read it."""
        if look not in self._kept:
            self._kept[look] = look(self)
        found: Found = self._kept[look]
        return found


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw numbers from N(0, 1), from a generator of their own; the same in every precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def run(model: RecurrentModel, x: Tensor, state: object = None) -> Run:
    """Run a model's recurrence over ``[B, T, I]``, from a state that it returned earlier or from its own start.

    Raises:
        RaisedError: the model's code raised something.
        ModelError: what it returns is no sequence and no last output.
    """
    recurrence = model.recurrence
    with calling():
        if isinstance(recurrence, RecurrentCell):
            sequence, final = recurrence.scan(x, state, return_sequence=True)  # type: ignore[arg-type]
            _check_outputs(recurrence, sequence, x)
            return Run(sequence, sequence[:, -1], final)
        output = recurrence(x) if state is None else recurrence(x, state)
    first, *rest = output if isinstance(output, tuple | list) and output else (output,)
    _check_outputs(recurrence, first, x)
    handed_out = rest[0] if len(rest) == 1 else tuple(rest) or None
    return Run(first, first[:, -1], handed_out) if first.ndim == 3 else Run(None, first, handed_out)


def _check_outputs(recurrence: nn.Module, outputs: object, x: Tensor) -> None:
    """Refuse what a model returns in one mode alone, or from a state, that has another shape than its outputs."""
    B, T = x.shape[:2]
    shape = list(outputs.shape) if isinstance(outputs, Tensor) else None
    if shape is None or shape[:-1] not in ([B, T], [B]):
        raise ModelError(
            f"{type(recurrence).__name__} must return [B, T, H] or [B, H] from an input {list(x.shape)}; found "
            + (f"a {type(outputs).__name__}" if shape is None else str(shape))
        )


def gradients_of(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of a number; None where nothing reaches an input that it depends on.

    Raises:
        RaisedError: the backward of the model raised something.
    """
    watched = [tensor for tensor in inputs if tensor.requires_grad]
    found: dict[int, Tensor | None] = {}
    if loss.requires_grad and watched:
        with model_code():
            gradients = torch.autograd.grad(loss, watched, allow_unused=True)
        found = {id(tensor): gradient for tensor, gradient in zip(watched, gradients, strict=True)}
    return [found.get(id(tensor)) for tensor in inputs]


def state_argument(recurrence: nn.Module) -> str | None:
    """Return the name of the argument that a recurrence can be started from a state with; None where it has none."""
    if isinstance(recurrence, RecurrentCell):
        return "state"
    try:
        parameters = list(inspect.signature(recurrence.forward).parameters.values())
    except (TypeError, ValueError):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 2:
        return None
    second = positional[1]
    plain = isinstance(second.default, bool | int | float | str) or second.annotation in (bool, int, float, str)
    named_otherwise = any(part in second.name.lower() for part in NO_STATE)
    return None if plain or named_otherwise else second.name


def tensors_of(state: object) -> list[Tensor]:
    """Return the tensors of a state, however they are nested."""
    return [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def largest_change(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors, in units of the largest number in ``expected``; NaN is infinite."""
    if found.shape != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    found, expected = found.detach(), expected.detach()
    change = (found - expected).abs().max().item() / max(expected.abs().max().item(), 1e-30)
    return change if change == change else float("inf")


def trained_parameters(model: RecurrentModel) -> dict[str, nn.Parameter]:
    """Return the parameters that the recurrence learns, by name."""
    return {name: p for name, p in model.recurrence.named_parameters() if p.requires_grad}


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
