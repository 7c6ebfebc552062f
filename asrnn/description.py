"""Describe a model in the few words and numbers that a list of models shows."""

from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from asrnn.cells import RecurrentCell
from asrnn.errors import AsrnnError
from asrnn.models import RecurrentModel, build_model
from asrnn.ops import scan_with
from asrnn.ops.backends import BACKENDS
from asrnn.registry import ModelSource, load_model

_PROBE = (1, 2)  # B and T of a scan that only shows what would run it


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model in a few words and numbers; what is not known is empty or None.

    Args:
        source: where it comes from, and what it is called.
        family: what kind of recurrence it is, in a word or two.
        paper: who published it where, in one line.
        year: when it was published.
        parameters: the degrees of freedom that are learnt, the readout's left out.
        state_size: how many numbers a sample carries from step to step; None for a module that is no cell.
        backends: what can run its scan on this machine, the fastest first, as records call it.
        fault: why it cannot be used here, in one line; None where it can.
    """

    source: ModelSource
    family: str = ""
    paper: str = ""
    year: int | None = None
    parameters: int | None = None
    state_size: int | None = None
    backends: tuple[str, ...] = ()
    fault: str | None = None


def describe(source: ModelSource, *, input_size: int = 1, hidden_size: int = 128) -> ModelDescription:
    """Describe a model by building it, with its hyper-parameters as they are by default.

    >>> from asrnn import describe, find_model
    >>> found = describe(find_model("lstm"))
    >>> found.family, found.year, found.parameters, found.state_size, found.backends[-2:]
    ('gated', 1997, 67072, 256, ('fused', 'loop'))

    Args:
        source: a model that was found.
        input_size: the input size I.
        hidden_size: H, for the numbers of parameters and of the state.

    Returns:
        what is known of it; where it cannot be imported or built, the ``fault`` says why, and nothing is raised.
    """
    known = ModelDescription(source)
    try:
        known = _with_its_words(known, load_model(source))
        with scan_with("loop"):  # no back end is made ready for what is only counted
            model = build_model(source, input_size=input_size, hidden_size=hidden_size, num_outputs=1, seed=0)
    except AsrnnError as error:
        return replace(known, fault=str(error))
    return replace(
        known,
        parameters=model.num_recurrent_parameters(),
        state_size=_state_size(model.recurrence),
        backends=_backends(model),
    )


def _with_its_words(known: ModelDescription, model_class: type[nn.Module]) -> ModelDescription:
    """Add what a class says of itself; one that is no cell may say it too, or say something else by these names."""
    family, paper, year = (getattr(model_class, name, None) for name in ("family", "paper", "year"))
    return replace(
        known,
        family=family if isinstance(family, str) else "",
        paper=paper if isinstance(paper, str) else "",
        year=year if isinstance(year, int) else None,
    )


def _state_size(recurrence: nn.Module) -> int | None:
    if not isinstance(recurrence, RecurrentCell):
        return None
    return sum(part.numel() for part in recurrence.initial_state(1))


@torch.no_grad()
def _backends(model: RecurrentModel) -> tuple[str, ...]:
    """Try every back end on every device there is, on a small scan, and return what ran, the fastest first."""
    model.eval()
    ran: list[str] = []
    for device in ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",):
        here = [_ran(model, device, name) for name in reversed(BACKENDS) if name != "auto"]
        if "compiled" in here:  # what is the fastest beside it depends on cell and size
            here.insert(0, _ran(model, device, "auto"))
        ran += here
    return tuple(dict.fromkeys(filter(None, ran)))


def _ran(model: RecurrentModel, device: str, name: str) -> str:
    """Return what ran a scan that was asked for by a name, or nothing."""
    # Whatever a back end or somebody's module stumbles over: it does not run it here.
    with suppress(Exception), scan_with(name):
        model.to(device)(torch.zeros(*_PROBE, model.input_size, device=device))
        return model.scan_backend
    return ""
