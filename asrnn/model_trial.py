"""Try a model once when it is built, and leave it as it was."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from asrnn.cells.parts.fast import FastCell
from asrnn.construction import one_line
from asrnn.errors import ModelError


def draws_weights_late(module: nn.Module) -> bool:
    """Return whether a module is lazy: it draws its weights in its first run."""
    return any(is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers()))


def try_copy(model: nn.Module, x: Tensor, model_class: type[nn.Module]) -> None:
    """Run a copy of a model once, so that the model does not change, and note the back ends of its scans.

    Args:
        model: the model.
        x: the input, ``[B, T, I]``.
        model_class: the class that a user gave, which messages name.

    Raises:
        ModelError: the run fails, or returns a wrong shape.
    """
    try:
        trial = copy.deepcopy(model)
    except Exception:  # a module may hold an object that cannot be copied, such as a lock
        with _attributes_kept(model):
            run_once(model, x, model_class)
        return
    run_once(trial, x, model_class)
    tried = dict(trial.named_modules())  # the trial may have added a module
    for name, module in model.named_modules():
        copied = tried.get(name)
        if isinstance(module, FastCell) and isinstance(copied, FastCell):
            module.note_scan(copied)


@torch.no_grad()
def run_once(model: nn.Module, x: Tensor, model_class: type[nn.Module]) -> None:
    """Run a model once in evaluation mode; see :func:`try_copy`.

    Raises:
        ModelError: the run fails, or returns a wrong shape.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        model(x)
    except ModelError:
        raise
    except Exception as error:
        where = f"{model_class.__name__} failed on an input {list(x.shape)}"
        raise ModelError(f"{where}: {one_line(error, model_class)}") from error
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _attributes_kept(model: nn.Module) -> Iterator[None]:
    """Restore the attributes and buffers of all modules afterwards, with the content of dicts, sets and lists."""
    kept: list[tuple[Any, Any]] = []
    for module in model.modules():
        kept += [(each, copy.copy(each)) for each in vars(module).values() if isinstance(each, dict | set | list)]
        kept.append((vars(module), dict(vars(module))))
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for each, before in kept:
            each.clear()
            each.extend(before) if isinstance(each, list) else each.update(before)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
