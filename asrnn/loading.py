"""Import the class of a model that was found, and refuse it if its code has changed since then."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from torch import nn

from asrnn.errors import ModelError
from asrnn.registry import ModelSource, code_of_file, covered_places, find_again
from asrnn.sources.importing import explain_import_errors, import_file
from asrnn.sources.local_imports import refuse_unknown_modules
from asrnn.sources.source_code import missing_class, module_file, read_source


def load_model(source: ModelSource) -> type[nn.Module]:
    """Import the class of a model that was found.

    Raises:
        ModelError: its code has changed since it was found, the import fails, or the class is not derived from
            ``torch.nn.Module``.
    """
    place, _, class_name = source.target.rpartition(":")
    before = set(sys.modules)
    module = _import_file(Path(place), source) if source.origin == "file" else _import_module(place, source)
    refuse_unknown_modules(set(sys.modules) - before, covered_places(source), source.name)
    if not hasattr(module, class_name):
        raise missing_class(
            place, class_name, (name for name, value in vars(module).items() if isinstance(value, type))
        )
    model = getattr(module, class_name)
    if not (isinstance(model, type) and issubclass(model, nn.Module)):
        found = f"class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise ModelError(f"{source.target} must be a class derived from torch.nn.Module; it is {found}")
    return model


def _import_file(path: Path, found: ModelSource) -> ModuleType:
    module = import_file(path, found.code.get("sha256"), found.name)
    if code_of_file(path, read_source(path)) != dict(found.code):
        raise ModelError(
            f"what {path.name} imports is not what it was when model '{found.name}' was planned: plan it anew"
        )
    return module


def _import_module(module: str, found: ModelSource) -> ModuleType:
    present = find_again(found)
    if (present.target, present.code) != (found.target, found.code):
        planned, now = (f"{source.target} ({dict(source.code)})" for source in (found, present))
        raise ModelError(f"model '{found.name}' was planned as {planned}, here is {now}: plan it anew")
    with explain_import_errors(module_file(module, found.target.rpartition(":")[2])):
        return import_module(module)
