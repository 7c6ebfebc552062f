"""Where models come from: built-in cells, a user's file, an importable module, an installed plug-in.

Finding a model reads source text and never runs it, so that planning needs neither torch nor trust;
:func:`load_model` imports it, in the worker, and refuses code that is not the code that was found.
"""

import ast
import json
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Literal

from asrnn.errors import AsrnnError, ModelError, UnknownNameError, UsageError
from asrnn.source_code import (
    class_names,
    module_code,
    module_file,
    no_class,
    parse_source,
    read_source,
    sha256,
    source_digest,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import torch

ENTRY_POINT_GROUP = "asrnn.cells"
_CELLS = Path(__file__).with_name("cells")
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found, not yet imported: what it is called, where it is, and which code it is.

    Args:
        name: the slug it has in plans, records and leaderboards; a class ``MyCell`` is called ``my-cell``.
        origin: how it was found.
        target: ``package.module:Class``, or ``/absolute/file.py:Class`` where the origin is a file.
        code: the identity of its code: ``version`` of a built-in cell; ``sha256`` of a file;
            ``distribution`` and ``version`` of a plug-in, with ``sha256`` where the version alone
            does not pin the source (an editable installation, a module of no distribution).
    """

    name: str
    origin: Literal["built-in", "file", "module", "entry-point"]
    target: str
    code: Mapping[str, str | int] = field(hash=False)

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.name):
            raise UsageError(
                f"'{self.name}' cannot be a model's name: up to 64 of a-z, 0-9, '.', '_' and '-', "
                "the first a letter or a digit; rename the class"
            )


def find_model(ref: str) -> ModelSource:
    """Find a model by its registered name, ``FILE.py:Class`` or ``package.module:Class``.

    Raises:
        UnknownNameError: nothing is registered under this name.
        UsageError: the reference lacks its class, or the model would take a built-in cell's name.
        ModelError: the file or module is not there, cannot be parsed, or does not hold the class.
    """
    place, colon, class_name = ref.rpartition(":")
    if colon:
        return _in_file(Path(place), class_name) if place.endswith(".py") else _in_module(place, class_name)
    if ref.endswith(".py"):
        there = class_names(parse_source(read_source(Path(ref)), Path(ref)))
        raise UsageError(f"'{ref}' does not say which class: write {ref}:{there[0] if there else 'Class'}")
    source = _built_in(ref)
    if source is not None:
        return source
    for entry in _entry_points():
        if entry.name == ref:
            return _at_entry_point(entry)
    raise UnknownNameError("model", ref, [source.name for source in list_models()])


def list_models() -> list[ModelSource]:
    """List the registered models, built-in cells and installed plug-ins, sorted by name.

    A plug-in that cannot be used is left out with a warning: it must not keep the others from running.
    """
    built_ins = (_built_in(path.stem.replace("_", "-")) for path in sorted(_CELLS.glob("*.py")))
    models = {source.name: source for source in built_ins if source is not None}
    for entry in _entry_points():
        try:
            source = _at_entry_point(entry)
            if source.name in models:
                raise UsageError(f"another plug-in, {models[source.name].target}, has this name")
        except AsrnnError as error:
            warnings.warn(f"plug-in '{entry.name}' is left out: {error}", RuntimeWarning, stacklevel=2)
        else:
            models[source.name] = source
    return sorted(models.values(), key=lambda source: source.name)


def load_model(source: ModelSource) -> "type[torch.nn.Module]":
    """Import the class that was found.

    Raises:
        ModelError: its code is not the code that was found, importing it fails, or it is not derived from
            ``torch.nn.Module``.
    """
    place, _, class_name = source.target.rpartition(":")
    module = _import_file(Path(place), source) if source.origin == "file" else _import_module(place, source)
    import torch  # only here: whoever finds models without loading them does not pay for torch

    model = getattr(module, class_name, None)
    if not (isinstance(model, type) and issubclass(model, torch.nn.Module)):
        found = f"class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise ModelError(f"{source.target} must be a class derived from torch.nn.Module; it is {found}")
    return model


def _built_in(name: str) -> ModelSource | None:
    """Read the cell that ``cells/<name>.py`` holds: its one class that carries a version."""
    path = _CELLS / f"{name.replace('-', '_')}.py"
    if not _SLUG.fullmatch(name) or "_" in name or not path.is_file():
        return None
    for node in ast.parse(path.read_bytes(), str(path)).body:
        version = _version(node) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and version is not None:
            return ModelSource(name, "built-in", f"asrnn.cells.{path.stem}:{node.name}", {"version": version})
    return None


def _version(class_def: ast.ClassDef) -> int | None:
    for node in class_def.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id="version"), value=ast.Constant(value=int(version))):
                return version
    return None


def _in_file(path: Path, class_name: str) -> ModelSource:
    source = read_source(path)
    classes = class_names(parse_source(source, path))
    if class_name not in classes:
        raise no_class(str(path), class_name, classes)
    target = f"{path.resolve()}:{class_name}"
    return ModelSource(_name_of(class_name, target), "file", target, {"sha256": sha256(source)})


def _in_module(module: str, class_name: str) -> ModelSource:
    target = f"{module}:{class_name}"
    built_in = _built_in(module.removeprefix("asrnn.cells.").replace("_", "-"))
    if built_in is not None and built_in.target == target:
        return built_in
    code = module_code(module, module_file(module, class_name))
    return ModelSource(_name_of(class_name, target), "module", target, code)


def _at_entry_point(entry: "EntryPoint") -> ModelSource:
    if _built_in(entry.name) is not None:
        raise UsageError(f"'{entry.name}' is the name of a built-in model")
    module, colon, class_name = entry.value.partition(":")
    if not colon or entry.dist is None:
        raise ModelError(f"its entry point '{entry.value}' is not of the form package.module:Class")
    path = module_file(module, class_name)
    code: dict[str, str | int] = {"distribution": entry.dist.name, "version": entry.dist.version}
    installed_from = json.loads(entry.dist.read_text("direct_url.json") or "{}")
    if installed_from.get("dir_info", {}).get("editable"):
        code["sha256"] = source_digest(module, path)  # the code may change while the version stays
    return ModelSource(entry.name, "entry-point", entry.value, code)


def _entry_points() -> "list[EntryPoint]":
    import importlib.metadata  # slow to import, and most runs name built-in cells only

    entries = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return sorted(entries, key=lambda entry: (entry.name, entry.value))


def _name_of(class_name: str, target: str) -> str:
    """Turn a class name into kebab-case, and keep it off the built-in cells' names."""
    name = _WORD_BOUNDARY.sub("-", class_name).strip("-").lower()
    if _built_in(name) is not None:
        raise UsageError(f"{target} would be called '{name}', as a built-in model is: rename the class")
    return name


class _VerbatimLoader(SourceFileLoader):
    """Runs the very bytes that were digested, without the bytecode cache: that one can miss a quick edit."""

    def __init__(self, fullname: str, path: str, source: bytes) -> None:
        super().__init__(fullname, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, self.path)


def _import_file(path: Path, found: ModelSource) -> ModuleType:
    source = read_source(path)
    digest = sha256(source)
    if digest != found.code.get("sha256"):
        raise ModelError(f"{path} was changed since model '{found.name}' was planned: plan it anew")
    name = f"asrnn_model_{digest[:16]}"
    if name in sys.modules:  # a second class object of the same code would not unpickle as the first
        return sys.modules[name]
    loader = _VerbatimLoader(name, str(path), source)
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = sys.modules[name] = module_from_spec(spec)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_failure(path, error) from error
    return module


def _import_module(module: str, found: ModelSource) -> ModuleType:
    present = find_model(found.target if found.origin == "module" else found.name)
    if present != found:
        planned, here = (f"{source.target} ({dict(source.code)})" for source in (found, present))
        raise ModelError(f"model '{found.name}' was planned as {planned}, here is {here}: plan it anew")
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:
        raise _import_failure(module_file(module, found.target.rpartition(":")[2]), error) from error


def _import_failure(path: Path, error: BaseException) -> ModelError:
    """Say in one line what went wrong, and on which line of the user's file it did."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f"{path}, line {line}" if line else str(path)
    alone = "; a model's file travels alone: install what it needs, or make it a package and name package.module:Class"
    hint = alone if isinstance(error, ModuleNotFoundError) else ""
    return ModelError(f"{where}: importing failed: {type(error).__name__}: {' '.join(str(error).split())}{hint}")
