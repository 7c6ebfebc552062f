"""How a recurrent module is made from what a user called it: its class, its keywords, and one line when it fails."""

import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import nn

from asrnn.errors import ModelError
from asrnn.registry import ModelSource, find_model, load_model
from asrnn.shapes import positive_size
from asrnn.sources.local_imports import TRAVELS_ALONE

Model = str | type[nn.Module] | ModelSource
"""A model as users name it: whatever ``find_model`` takes, a class, or what ``find_model`` returned."""


def model_class_of(model: Model) -> type[nn.Module]:
    """Return the class that a model names.

    Raises:
        ModelError: it cannot be imported, or is no class derived from torch.nn.Module.
        UsageError: it is not to be found under this name.
    """
    if isinstance(model, str):
        model = find_model(model)
    if isinstance(model, ModelSource):
        return load_model(model)
    if isinstance(model, type) and issubclass(model, nn.Module):
        return model
    raise ModelError(f"a model is a name or a class derived from torch.nn.Module, not {model!r}")


def names_keyword(model_class: type[nn.Module], keyword: str) -> bool:
    """Say whether a class's own constructor names a keyword; an open ``**kwargs`` takes any and names none."""
    return keyword in _keywords(model_class)[0]


def plain(hyper: Mapping[str, object]) -> dict[str, object]:
    """Return hyper-parameters with numpy's scalars as Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in hyper.items()}


def construct(
    model_class: type[nn.Module],
    input_size: int,
    hidden_size: int,
    hyper: Mapping[str, object],
    around: Collection[str] = (),
) -> nn.Module:
    """Call a model's constructor, with its sizes by name where it has the names; its failures become one line.

    Args:
        model_class: the model's class.
        input_size: the input size I.
        hidden_size: the hidden size H.
        hyper: hyper-parameters of the class.
        around: names that a stack of the class would have taken; an unknown name may have been meant for one.

    Raises:
        ModelError: a size is not positive, a name is not there, or the constructor failed.
    """
    sizes = {"input_size": positive_size("input_size", input_size)}
    sizes["hidden_size"] = positive_size("hidden_size", hidden_size)
    accepted, takes_others = _keywords(model_class)
    own = sorted(accepted - {"input_size", "hidden_size", "batch_first"})
    for name in hyper:
        if name not in own and not takes_others:
            near = get_close_matches(name, [*own, *around], n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            there = ", ".join(own) or "none"
            more = f"; a stack of it has: {', '.join(around)}" if around else ""
            raise ModelError(f"{model_class.__name__} has no hyper-parameter '{name}'{hint} it has: {there}{more}")
    keywords = ({"batch_first": True} if "batch_first" in accepted else {}) | plain(hyper)
    positional, named = _arguments(model_class, sizes, accepted)
    try:
        with _generator_kept():
            return model_class(*positional, **named, **keywords)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model_class.__name__}({input_size}, {hidden_size}) failed: {one_line(error, model_class)}"
        ) from error


@contextmanager
def _generator_kept() -> Iterator[None]:
    """Undo a seed that a constructor gives to torch's generator, which what is drawn next must not depend on."""
    seed, state = torch.initial_seed(), torch.random.get_rng_state()
    yield
    if torch.initial_seed() != seed:
        torch.random.set_rng_state(state)


def _arguments(
    model_class: type[nn.Module], sizes: dict[str, int], accepted: Collection[str]
) -> tuple[list[int], dict[str, int]]:
    """Return the two sizes as a constructor takes them, by position and by name: by name where it has the name.

    Where it has one of the names only, the other size goes to the first parameter that is left.
    """
    own = next((vars(base)["__init__"] for base in inspect.getmro(model_class) if "__init__" in vars(base)), None)
    parameters = list(inspect.signature(own).parameters.values())[1:] if own else []
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return list(sizes.values()), {}
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    hands_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    taken = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if not hands_on and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return list(sizes.values()), {}
    lacking = [p for p in taken if p.default is p.empty and p.name not in sizes]
    if hands_on and not lacking and (not taken or any(p.name in sizes for p in taken)):
        named |= {*accepted}
    by_name = {name: size for name, size in sizes.items() if name in named}
    rest = [size for name, size in sizes.items() if name not in named]
    if not by_name or not rest:
        return rest, by_name
    left = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in sizes]
    return ([], {**by_name, left[0]: rest[0]}) if left else (rest, by_name)


def one_line(error: Exception | SystemExit, model_class: type[nn.Module]) -> str:
    """Say what went wrong, and on which line of the model's own file it did."""
    own, line, trace = sys.modules[model_class.__module__].__dict__.get("__file__"), None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == own else line
        trace = trace.tb_next
    where = f" (line {line} of {Path(own).name})" if own and line else ""
    beside = isinstance(error, FileNotFoundError) and own and Path(str(error.filename)).parent == Path(own).parent
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}{f'; {TRAVELS_ALONE}' if beside else ''}"


def _keywords(model_class: type[nn.Module]) -> tuple[set[str], bool]:
    """Collect the constructor's keywords, through the ``**kwargs`` that it hands on to its bases.

    Returns:
        the names, and whether other names may be meant for ``**kwargs`` too.
    """
    names: set[str] = set()
    for base in inspect.getmro(model_class):
        if base is nn.Module:
            return names, True  # the last **kwargs was not handed on to any named keyword
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names | _keywords_of_its_cell(model_class), False


def _keywords_of_its_cell(layer: type[nn.Module]) -> set[str]:
    """Collect the keywords of the cell that gets a layer's ``**kwargs``: torchrecurrent's ``X`` makes an ``XCell``."""
    cell = getattr(sys.modules[layer.__module__], f"{layer.__name__}Cell", None)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(layer.__init__).parameters.values())
    if not (isinstance(cell, type) and issubclass(cell, nn.Module) and open_ended):
        return set()
    return set(inspect.signature(cell.__init__).parameters) - {"self", "device", "dtype"}
