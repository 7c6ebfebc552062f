"""Describe a model in the words and numbers that a list of models shows."""

from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import nn

from asrnn.cells import RecurrentCell
from asrnn.errors import AsrnnError
from asrnn.loading import load_model
from asrnn.models import RecurrentModel, build_model
from asrnn.ops import scan_with
from asrnn.ops.backends import BACKENDS
from asrnn.registry import ModelSource

_PROBE = (1, 2)  # B and T of a scan that only shows which back end runs it


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """The words and numbers that describe a model; an unknown one is empty or None.

    Args:
        source: its name and the place of its code.
        family: the kind of recurrence, in a word or two.
        paper: authors, venue and arXiv number, in one line.
        year: the year of publication.
        parameters: the number of degrees of freedom that are learnt, without the readout.
        state_size: how many numbers a sample carries from step to step; None for a module that is no cell.
        backends: the back ends that can run its scan on this machine, the fastest first, by their names in records.
        fault: why it cannot be used here, in one line; None if it can.
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
    """Describe a model by building it with its default hyper-parameters.

    >>> from asrnn import describe, find_model
    >>> found = describe(find_model("lstm"))
    >>> found.family, found.year, found.parameters, found.state_size, found.backends[-2:]
    ('gated', 1997, 67072, 256, ('fused', 'loop'))

    Args:
        source: a model that was found.
        input_size: the input size I.
        hidden_size: H, on which the numbers of parameters and of the state depend.

    Returns:
        the description; if the model cannot be imported or built, ``fault`` says why, and no error is raised.
    """
    known = ModelDescription(source)
    try:
        known = _with_documentation(known, load_model(source))
        with scan_with("loop"):  # building a model to count its parameters must not compile anything
            model = build_model(source, input_size=input_size, hidden_size=hidden_size, num_outputs=1, seed=0)
    except AsrnnError as error:
        return replace(known, fault=str(error))
    return replace(
        known,
        parameters=model.num_recurrent_parameters(),
        state_size=_state_size(model.recurrence),
        backends=_backends(model),
    )


def _with_documentation(known: ModelDescription, model_class: type[nn.Module]) -> ModelDescription:
    """Add the family, paper and year of a class; a module that is no cell may use these names for other things."""
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
    """Run a small scan by every back end on every device, and return those that ran, the fastest first."""
    model.eval()
    ran: list[str] = []
    for device in ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",):
        on_device = [_backend_of_scan(model, device, name) for name in reversed(BACKENDS) if name != "auto"]
        if "compiled" in on_device:  # whether another one is faster depends on cell and size
            on_device.insert(0, _backend_of_scan(model, device, "auto"))
        ran += on_device
    return tuple(dict.fromkeys(filter(None, ran)))


def _backend_of_scan(model: RecurrentModel, device: str, name: str) -> str:
    """Return the back end that ran a scan when one was requested by name; empty if it failed."""
    # Any error of a back end or of a user's module means that it does not run here.
    with suppress(Exception), scan_with(name):
        model.to(device)(torch.zeros(*_PROBE, model.input_size, device=device))
        return model.scan_backend
    return ""
