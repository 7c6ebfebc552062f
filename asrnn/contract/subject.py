"""The model under test: how it is built at any size, and how it is run, whatever kind of module it is."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from asrnn.cells import RecurrentCell
from asrnn.construction import Model, construct, model_class_of
from asrnn.errors import ModelError
from asrnn.models import RecurrentModel, assemble, own_hyper
from asrnn.registry import ModelSource, find_model

INPUT_SIZE = 3
HIDDEN_SIZES = (8, 16, 64)
"""The first that a model's constructor takes is the one it is looked at with."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of one run over a sequence.

    Args:
        sequence: the outputs of all steps, ``[B, T, H]``; None for a model that returns the last one alone.
        last: the output of the last step, ``[B, H]``.
        state: what the model hands out to go on from; None where it hands out nothing.
    """

    sequence: Tensor | None
    last: Tensor
    state: object

    @property
    def outputs(self) -> Tensor:
        """All outputs that can be seen, with the time axis where there is one."""
        return self.last if self.sequence is None else self.sequence


class Subject:
    """A model, by its name, reference or class, with hyper-parameters, that is built afresh for each look at it.

    Args:
        model: a registered name, ``FILE.py:Class``, ``package.module:Class``, a class, or a found source.
        hyper: its hyper-parameters, and those of a stack of it, as :func:`asrnn.build_model` takes them.

    Raises:
        UsageError: it is not to be found.
        ModelError: it cannot be imported.
    """

    def __init__(self, model: Model, hyper: Mapping[str, object]) -> None:
        found = find_model(model) if isinstance(model, str) else model
        self.source = found if isinstance(found, ModelSource) else None
        self.model_class = model_class_of(found)
        self.name = self.source.name if self.source else self.model_class.__name__
        self.hyper = dict(hyper)
        self.refusal = cache(self._refusal)

    @cached_property
    def own_hyper(self) -> dict[str, Any]:
        """The hyper-parameters of the class itself, without those of a stack of it."""
        return own_hyper(self.model_class, self.hyper)

    @cached_property
    def hidden_size(self) -> int:
        """The smallest of a few sizes that the constructor takes; the first of them where it takes none."""
        taken = (size for size in HIDDEN_SIZES if self.refusal(INPUT_SIZE, size) is None)
        return next(taken, HIDDEN_SIZES[0])

    def _refusal(self, input_size: int, hidden_size: int) -> str | None:
        """Return why the constructor refuses a size, or None where it does not."""
        try:
            construct(self.model_class, input_size, hidden_size, self.own_hyper)
        except ModelError as error:
            return str(error)
        return None

    def build(
        self, input_size: int = INPUT_SIZE, hidden_size: int | None = None, *, seed: int = 0, alone: bool = False
    ) -> RecurrentModel:
        """Build the model anew, in float32 and in evaluation mode; ``alone``, one layer of it without a stack around.

        Raises:
            ModelError: it cannot be built, or returns a wrong shape.
        """
        size = self.hidden_size if hidden_size is None else hidden_size
        model = assemble(
            self.source or self.model_class,
            self.own_hyper if alone else self.hyper,
            input_size=input_size,
            hidden_size=size,
            num_outputs=2,
            seed=seed,
        )
        return model.eval()


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw numbers from N(0, 1), from a generator of their own; the same in every precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def run(model: RecurrentModel, x: Tensor, state: object = None) -> Run:
    """Run a model's recurrence over ``[B, T, I]``, from a state that it handed out earlier or from its own start."""
    recurrence = model.recurrence
    if isinstance(recurrence, RecurrentCell):
        sequence, final = recurrence.scan(x, state, return_sequence=True)  # type: ignore[arg-type]
        return Run(sequence, sequence[:, -1], final)
    output = recurrence(x) if state is None else recurrence(x, state)
    first, *rest = output if isinstance(output, tuple | list) else (output,)
    handed_out = rest[0] if len(rest) == 1 else tuple(rest) or None
    return Run(first, first[:, -1], handed_out) if first.ndim == 3 else Run(None, first, handed_out)


def takes_state(recurrence: nn.Module) -> bool:
    """Say whether a recurrence can be started from a given state: a cell's can, and a module's that takes two."""
    if isinstance(recurrence, RecurrentCell):
        return True
    parameters = inspect.signature(recurrence.forward).parameters.values()
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) >= 2


def tensors_of(state: object) -> list[Tensor]:
    """Return the tensors of a state, however they are nested."""
    return [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def largest_change(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two tensors, in units of the largest number in ``expected``; NaN is infinite."""
    if found.shape != expected.shape:
        return float("inf")
    change = (found.detach() - expected.detach()).abs().max().item() / max(expected.detach().abs().max().item(), 1e-30)
    return change if change == change else float("inf")


def trained_parameters(model: RecurrentModel) -> dict[str, nn.Parameter]:
    """Return the parameters that the recurrence learns, by name."""
    return {name: p for name, p in model.recurrence.named_parameters() if p.requires_grad}
