"""Find models by name: built-in cells, classes in a user's file, classes in a module, and installed plug-ins.

:func:`find_model` reads source text and does not run it, so a plan neither imports torch nor runs a user's code.
:func:`asrnn.loading.load_model` imports the model in the worker.
"""

import ast
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asrnn.errors import AsrnnError, ModelError, UnknownNameError, UsageError
from asrnn.sources.adapters import adapter_of, layer_at, layer_named
from asrnn.sources.local_imports import local_imports, refuse_relative_imports
from asrnn.sources.source_code import (
    class_names,
    code_files,
    digest_of,
    import_root,
    may_define,
    missing_class,
    module_code,
    module_file,
    own_place,
    parse_source,
    read_source,
    sha256,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


ENTRY_POINT_GROUP = "asrnn.cells"
MODEL_VERSION = 2
"""Raised by hand when stacks, readouts or all scans give other numbers (:mod:`asrnn.stack`, :mod:`asrnn.models`).

2: subnormal numbers count as 0.
"""

_CELLS = Path(__file__).with_name("cells")
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The name, the place and the code of a model that was found and not yet imported.

    Args:
        name: its name in plans, records and leaderboards: ``my-cell`` for a class ``MyCell``, and ``torch-nn-gru`` for
            the layer ``torch.nn:GRU``.
        origin: the kind of place where it was found.
        target: ``package.module:Class``, or ``/absolute/file.py:Class`` where the origin is a file.
        code: the identity of its code: ``version`` of a built-in cell; ``sha256`` of a file; ``distribution`` and
            ``version`` of a plug-in. ``sha256`` is added if the version does not fix the source (an editable
            installation, a module of no distribution). ``imports``, the digest of the local code that the model
            imports, is added to a ``sha256`` if there is such code.
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

    A layer of ``torch.nn`` or torchrecurrent may be given as ``torch.nn:GRU`` or by its name ``torch-nn-gru``.

    Raises:
        UnknownNameError: no model has this name.
        UsageError: the reference names no class, or the model would have the name of a built-in cell or of a layer.
        ModelError: the file or module does not exist, is not installed, cannot be parsed, or does not define the class.
    """
    ref = os.path.expanduser(ref)  # noqa: PTH111 - a module's name is no path
    place, colon, class_name = ref.rpartition(":")
    if colon:
        return _in_file(Path(place), class_name) if place.endswith(".py") else _in_module(place, class_name)
    if ref.endswith(".py"):
        classes = class_names(parse_source(read_source(Path(ref)), Path(ref)))
        raise UsageError(f"'{ref}' does not say which class: write {ref}:{classes[0] if classes else 'Class'}")
    source = _built_in(ref)
    if source is not None:
        return source
    layer = layer_named(ref)
    if layer is not None:
        return _in_module(layer[0].package, layer[1])
    for entry in _entry_points():
        if entry.name == ref:
            return _at_entry_point(entry)
    raise UnknownNameError("model", ref, list_models())


def list_models() -> list[str]:
    """List the names of the built-in cells and of the installed plug-ins, sorted.

    >>> import asrnn
    >>> "antisymmetric" in asrnn.list_models()
    True
    """
    return [source.name for source in model_sources()]


def model_sources() -> list[ModelSource]:
    """List the built-in cells and the installed plug-ins, sorted by name.

    A plug-in that cannot be used is left out with a warning, so that it does not stop the others.
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


def _built_in(name: str) -> ModelSource | None:
    """Return the cell that ``cells/<name>.py`` defines: the one class in it that has a version."""
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


def covered_places(source: ModelSource) -> list[Path]:
    """Return the files and folders that the identity of a model covers: its own, and those that it imports.

    Raises:
        ModelError: one of them cannot be read or parsed.
    """
    own = _own_place(source)
    imports = local_imports(code_files(own), _package_of(source)).values() if "sha256" in source.code else ()
    return [own, *imports]


def import_roots(source: ModelSource) -> list[Path]:
    """Return the folders that must be on ``sys.path`` to import a model and its local imports.

    Raises:
        ModelError: a file cannot be read or parsed, or a module does not exist.
    """
    roots = [import_root(source.target)] if source.origin == "module" else []
    if "sha256" in source.code:
        imports = local_imports(code_files(_own_place(source)), _package_of(source))
        roots += [place.parents[module.count(".")] for module, place in imports.items()]
    return list(dict.fromkeys(roots))


def _own_place(source: ModelSource) -> Path:
    """Return the file of a model, or the folder of its package if it has one."""
    place, _, class_name = source.target.rpartition(":")
    return Path(place) if source.origin == "file" else own_place(place, module_file(place, class_name))


def _package_of(source: ModelSource) -> str | None:
    return None if source.origin == "file" else source.target.partition(":")[0].partition(".")[0]


def _imports(own: Path, package: str | None) -> dict[str, str | int]:
    """Return the digest of the local code that a model imports; nothing if it imports none."""
    found = local_imports(code_files(own), package)
    lines = [f"{module} {digest_of(place)}" for module, place in sorted(found.items())]
    return {"imports": sha256("\n".join(lines).encode())} if lines else {}


def _in_file(path: Path, class_name: str) -> ModelSource:
    source = read_source(path)
    tree = parse_source(source, path)
    if not may_define(tree, class_name):
        raise missing_class(str(path), class_name, class_names(tree))
    refuse_relative_imports(tree, path)
    target = f"{path.resolve()}:{class_name}"
    return ModelSource(_name_of(class_name, target), "file", target, code_of_file(path, source))


def code_of_file(path: Path, source: bytes) -> dict[str, str | int]:
    """Return the identity of the code of a model in a file: the digests of the file and of its local imports."""
    return {"sha256": sha256(source), **_imports(path, None)}


def _module_code(module: str, path: Path) -> dict[str, str | int]:
    code = module_code(module, path)
    return code | _imports(own_place(module, path), module.partition(".")[0]) if "sha256" in code else code


def _in_module(module: str, class_name: str) -> ModelSource:
    target = f"{module}:{class_name}"
    built_in = _built_in(module.removeprefix("asrnn.cells.").replace("_", "-"))
    if built_in is not None and built_in.target == target:
        return built_in
    layer = layer_at(module, class_name)
    if layer is not None:
        package = layer[0].package
        code = module_code(package, module_file(package, class_name))
        return ModelSource(layer[0].name_of(class_name), "module", f"{package}:{class_name}", code)
    code = _module_code(module, module_file(module, class_name))
    return ModelSource(_name_of(class_name, target), "module", target, code)


def _at_entry_point(entry: "EntryPoint") -> ModelSource:
    if _built_in(entry.name) is not None:
        raise UsageError(f"'{entry.name}' is the name of a built-in model")
    adapter = adapter_of(entry.name)
    if adapter is not None:
        raise UsageError(f"names that begin with '{adapter.prefix}' are those of {adapter.package}'s layers")
    module, colon, class_name = entry.value.partition(":")
    if not colon or entry.dist is None:
        raise ModelError(f"its entry point '{entry.value}' is not of the form package.module:Class")
    path = module_file(module, class_name)
    code: dict[str, str | int] = {"distribution": entry.dist.name, "version": entry.dist.version}
    installed_from = json.loads(entry.dist.read_text("direct_url.json") or "{}")
    if installed_from.get("dir_info", {}).get("editable"):
        # The code may change while the version stays.
        own = own_place(module, path)
        code |= {"sha256": digest_of(own), **_imports(own, module.partition(".")[0])}
    return ModelSource(entry.name, "entry-point", entry.value, code)


def _entry_points() -> "list[EntryPoint]":
    import importlib.metadata  # slow to import, and most runs name built-in cells only

    entries = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return sorted(entries, key=lambda entry: (entry.name, entry.value))


def _name_of(class_name: str, target: str) -> str:
    """Turn a class name into kebab-case, and refuse one that is the name of a built-in cell or of a layer."""
    name = _WORD_BOUNDARY.sub("-", class_name).strip("-").lower()
    adapter = adapter_of(name)
    if adapter is not None:
        raise UsageError(f"{target} would be called '{name}', as a layer of {adapter.package} is: rename the class")
    if _built_in(name) is not None:
        raise UsageError(f"{target} would be called '{name}', as a built-in model is: rename the class")
    return name


def find_again(found: ModelSource) -> ModelSource:
    """Find a model again at the place where it was found; its name may be one that a suite gave it.

    Raises:
        ModelError: it is not there.
    """
    if found.origin != "entry-point":
        return find_model(found.target)
    entries = [entry for entry in _entry_points() if entry.value == found.target or entry.name == found.name]
    if not entries:
        package = found.code.get("distribution", "a plug-in")
        raise ModelError(f"model '{found.name}' is {found.target} of {package}, which is not installed here")
    return _at_entry_point(next((entry for entry in entries if entry.value == found.target), entries[0]))
