"""Run a model under test, and tell what its own code raises from faults of a check."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

from asrnn.cells import RecurrentCell
from asrnn.errors import AsrnnError, ModelError
from asrnn.models import RecurrentModel

NO_STATE = ("len", "mask", "pad", "time", "dt", "delta", "position", "flag", "training", "return", "label", "target")
"""Parts of argument names that are not the name of a state."""


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
