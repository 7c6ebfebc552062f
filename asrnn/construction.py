"""Construct a recurrent module from the name or class that a user gave, and report a failure in one line."""

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
from asrnn.loading import load_model
from asrnn.registry import ModelSource, find_model
from asrnn.shapes import positive_size
from asrnn.sources.local_imports import TRAVELS_ALONE

Model = str | type[nn.Module] | ModelSource
"""A model as a user gives it: a reference that ``find_model`` takes, a class, or the result of ``find_model``."""


def model_class_of(model: Model) -> type[nn.Module]:
    """Return the class that a model names.

    Raises:
        ModelError: it cannot be imported, or is not a class derived from torch.nn.Module.
        UsageError: no model has this name.
    """
    if isinstance(model, str):
        model = find_model(model)
    if isinstance(model, ModelSource):
        return load_model(model)
    if isinstance(model, type) and issubclass(model, nn.Module):
        return model
    raise ModelError(f"a model is a name or a class derived from torch.nn.Module, not {model!r}")


def names_keyword(model_class: type[nn.Module], keyword: str) -> bool:
    """Return whether the constructor of a class names a keyword; an open ``**kwargs`` names none."""
    return keyword in _keywords(model_class)[0]


def as_python_scalars(hyper: Mapping[str, object]) -> dict[str, object]:
    """Return hyper-parameters with numpy scalars turned into Python numbers."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in hyper.items()}


def construct(
    model_class: type[nn.Module],
    input_size: int,
    hidden_size: int,
    hyper: Mapping[str, object],
    of_a_stack: Collection[str] = (),
) -> nn.Module:
    """Call the constructor of a model, and pass the sizes by name if it has the names.

    Args:
        model_class: the model's class.
        input_size: the input size I.
        hidden_size: the hidden size H.
        hyper: hyper-parameters of the class.
        of_a_stack: the hyper-parameters of a stack of the class, among which an unknown name is looked for too.

    Raises:
        ModelError: a size is not positive, there is no hyper-parameter of a name, or the constructor failed.
    """
    sizes = {"input_size": positive_size("input_size", input_size)}
    sizes["hidden_size"] = positive_size("hidden_size", hidden_size)
    accepted, takes_others = _keywords(model_class)
    known = sorted(accepted - {"input_size", "hidden_size", "batch_first"})
    for name in hyper:
        if name not in known and not takes_others:
            near = get_close_matches(name, [*known, *of_a_stack], n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            listed = ", ".join(known) or "none"
            more = f"; a stack of it has: {', '.join(of_a_stack)}" if of_a_stack else ""
            raise ModelError(f"{model_class.__name__} has no hyper-parameter '{name}'{hint} it has: {listed}{more}")
    keywords = ({"batch_first": True} if "batch_first" in accepted else {}) | as_python_scalars(hyper)
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
    """Restore torch's generator if a constructor sets its seed, so that later draws do not depend on that seed."""
    seed, state = torch.initial_seed(), torch.random.get_rng_state()
    yield
    if torch.initial_seed() != seed:
        torch.random.set_rng_state(state)


def _arguments(
    model_class: type[nn.Module], sizes: dict[str, int], accepted: Collection[str]
) -> tuple[list[int], dict[str, int]]:
    """Return the two sizes as positional and as keyword arguments: a size whose name the constructor has is a keyword.

    If it has one of the two names only, the other size is passed to the first parameter that is left.
    """
    constructors = (vars(base)["__init__"] for base in inspect.getmro(model_class) if "__init__" in vars(base))
    constructor = next(constructors, None)
    parameters = list(inspect.signature(constructor).parameters.values())[1:] if constructor else []
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return list(sizes.values()), {}
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    hands_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    regular = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if not hands_on and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return list(sizes.values()), {}
    required = [p for p in regular if p.default is p.empty and p.name not in sizes]
    if hands_on and not required and (not regular or any(p.name in sizes for p in regular)):
        named |= {*accepted}
    by_name = {name: size for name, size in sizes.items() if name in named}
    rest = [size for name, size in sizes.items() if name not in named]
    if not by_name or not rest:
        return rest, by_name
    free = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in sizes]
    return ([], {**by_name, free[0]: rest[0]}) if free else (rest, by_name)


def one_line(error: Exception | SystemExit, model_class: type[nn.Module]) -> str:
    """Describe an error in one line, with the line of the model's own file at which it was raised."""
    own_file, line, trace = sys.modules[model_class.__module__].__dict__.get("__file__"), None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == own_file else line
        trace = trace.tb_next
    where = f" (line {line} of {Path(own_file).name})" if own_file and line else ""
    hint = ""
    if isinstance(error, FileNotFoundError) and own_file and Path(str(error.filename)).parent == Path(own_file).parent:
        hint = f"; {TRAVELS_ALONE}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}{hint}"


def _keywords(model_class: type[nn.Module]) -> tuple[set[str], bool]:
    """Collect the keywords of a constructor, and those of its bases to which it passes its ``**kwargs``.

    Returns:
        the names, and whether ``**kwargs`` may take other names too.
    """
    names: set[str] = set()
    for base in inspect.getmro(model_class):
        if base is nn.Module:
            return names, True  # the last **kwargs was not passed on to named keywords
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names | _keywords_of_its_cell(model_class), False


def _keywords_of_its_cell(layer: type[nn.Module]) -> set[str]:
    """Collect the keywords of the cell to which a layer passes its ``**kwargs``: a layer ``X`` builds an ``XCell``."""
    cell = getattr(sys.modules[layer.__module__], f"{layer.__name__}Cell", None)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(layer.__init__).parameters.values())
    if not (isinstance(cell, type) and issubclass(cell, nn.Module) and open_ended):
        return set()
    return set(inspect.signature(cell.__init__).parameters) - {"self", "device", "dtype"}
