"""Run a model under test, and distinguish the exceptions of its code from those of a check."""

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
    """An exception of the model's own code.

    Args:
        cause: the exception.
    """

    def __init__(self, cause: Exception | SystemExit) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def model_code() -> Iterator[None]:
    """Mark the exceptions of the model's code, so that they differ from those of a check.

    Raises:
        RaisedError: an exception was raised inside; it is the cause.
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
    """Call a model. A parametrized weight is computed once a call and not once a step; the numbers are the same.

    Raises:
        RaisedError: an exception was raised inside; it is the cause.
        AsrnnError: it was raised inside.
    """
    with model_code(), parametrize.cached():
        yield


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run over a sequence.

    Args:
        sequence: the outputs of all steps, ``[B, T, H]``; None for a model that returns only the last one.
        last: the output of the last step, ``[B, H]``.
        state: the final state that the model returns; None if it returns none.
    """

    sequence: Tensor | None
    last: Tensor
    state: object

    @property
    def outputs(self) -> Tensor:
        """All outputs, with the time axis if the model returns a sequence."""
        return self.last if self.sequence is None else self.sequence


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw numbers from N(0, 1) by a generator of their own; they are the same in every precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def run(model: RecurrentModel, x: Tensor, state: object = None) -> Run:
    """Run a model's recurrence over ``[B, T, I]``, from a state that it returned earlier or from its initial state.

    Raises:
        RaisedError: the model's code raised an exception.
        ModelError: it returned neither a sequence nor a last output.
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
    """Refuse outputs of a wrong shape, which a model may return only in one mode or only from a state."""
    B, T = x.shape[:2]
    shape = list(outputs.shape) if isinstance(outputs, Tensor) else None
    if shape is None or shape[:-1] not in ([B, T], [B]):
        raise ModelError(
            f"{type(recurrence).__name__} must return [B, T, H] or [B, H] from an input {list(x.shape)}; found "
            + (f"a {type(outputs).__name__}" if shape is None else str(shape))
        )


def gradients_of(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of a number towards some tensors; None for a tensor that no gradient reaches.

    Raises:
        RaisedError: the backward pass of the model raised an exception.
    """
    watched = [tensor for tensor in inputs if tensor.requires_grad]
    found: dict[int, Tensor | None] = {}
    if loss.requires_grad and watched:
        with model_code():
            gradients = torch.autograd.grad(loss, watched, allow_unused=True)
        found = {id(tensor): gradient for tensor, gradient in zip(watched, gradients, strict=True)}
    return [found.get(id(tensor)) for tensor in inputs]


def state_argument(recurrence: nn.Module) -> str | None:
    """Return the name of the argument that takes the initial state of a recurrence; None if there is none."""
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
    """Return the tensors of a state, which may be nested."""
    return [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def largest_change(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors, relative to the largest number of ``expected``; inf for NaN."""
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
