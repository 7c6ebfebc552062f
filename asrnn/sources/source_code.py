"""Read the source text of a model without running it: find its classes, and digest its files."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from asrnn.errors import ModelError

MOST_FILES = 10_000
"""The most files of a package whose digest identifies a model; all of them are read whenever a run is planned."""

_NO_CODE = (".pyc", ".pyo", "~", ".swp", ".orig", ".rej")


def read_source(path: Path) -> bytes:
    """Read a source file.

    Raises:
        ModelError: it does not exist (the message offers a similar name) or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        neighbours = sorted(file.name for file in path.parent.glob("*.py"))
        raise ModelError(f"there is no file {path}{_near(path.name, neighbours)}") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError("no file has a NUL character in its name") from error


def parse_source(source: bytes, path: Path) -> ast.Module:
    """Parse Python source.

    Raises:
        ModelError: it is not Python; the message names the line.
    """
    try:
        return ast.parse(source, str(path))
    except SyntaxError as error:
        raise ModelError(f"{path}, line {error.lineno}: {error.msg}") from error
    except ValueError as error:  # a NUL byte, which Python 3.11 does not call a SyntaxError
        raise ModelError(f"{path} is not Python source: {error}") from error


def sha256(source: bytes) -> str:
    """Digest a source file, as hexadecimal text."""
    return hashlib.sha256(source).hexdigest()


def class_names(tree: ast.Module) -> list[str]:
    """List the classes that a file defines outside functions and other classes, in the file's order."""
    return [node.name for node in _top_level(tree.body) if isinstance(node, ast.ClassDef)]


def may_define(tree: ast.Module, name: str) -> bool:
    """Return whether the top level of a file may define a name; ``import *`` may define any name."""
    return not {name, "*", "__getattr__"}.isdisjoint(_bound_names(tree))


def missing_class(place: str, class_name: str, names: Iterable[str]) -> ModelError:
    """Return the error for a class that a file or module does not define."""
    public_names = sorted(name for name in names if not name.startswith("_"))
    hint = _near(class_name, public_names) or ";"
    return ModelError(f"{place} has no class '{class_name}'{hint} it has: {', '.join(public_names) or 'none'}")


def module_file(module: str, class_name: str) -> Path:
    """Locate the file of a module that should hold a class.

    ``importlib.util.find_spec`` imports the parents of a dotted name. This function follows the search paths of the
    packages instead and imports nothing.

    Raises:
        ModelError: there is no such module, it has no file, or it does not define the name.
    """
    path = _file_of(module, class_name)
    if path.suffix == ".py":
        tree = parse_source(read_source(path), path)
        if not may_define(tree, class_name):
            raise missing_class(f"module '{module}'", class_name, (n for n in _bound_names(tree) if n[:1].isupper()))
    return path


def exported_names(module: str) -> set[str]:
    """Return the names that the top level of a module defines, with ``*`` if the text does not show all of them.

    Raises:
        ModelError: there is no such module, or it has no file.
    """
    return _names_in(_file_of(module, "classes"))


def is_importable(package: str) -> bool:
    """Return whether a top-level package is installed or on the path."""
    return find_spec(package) is not None


def module_code(module: str, path: Path) -> dict[str, str | int]:
    """Return the identity of a module: the installed distribution that owns its file, else the digest of its source."""
    from importlib.metadata import distributions  # slow to import, and rarely needed

    depth = module.count(".") + (path.stem == "__init__")
    root = path.parents[depth]
    recorded = f"\n{path.relative_to(root).as_posix()},"
    for owner in distributions(path=[str(root)]):
        if recorded in "\n" + (owner.read_text("RECORD") or ""):
            return {"distribution": owner.name, "version": owner.version}
    return {"sha256": source_digest(module, path)}


def source_digest(module: str, path: Path) -> str:
    """Digest a single module, or its whole package, because a class may come from another module of the package."""
    return digest_of(own_place(module, path))


def own_place(module: str, path: Path) -> Path:
    """Return the file of a single module, or the folder of its top-level package."""
    depth = module.count(".") + (path.stem == "__init__")
    return path if depth == 0 else path.parents[depth - 1]


def digest_of(place: Path) -> str:
    """Digest a file, or all files of a folder, because kernels and tables are code as modules are.

    Raises:
        ModelError: a file cannot be read, or there are more than ``MOST_FILES``.
    """
    if not place.is_dir():
        return sha256(read_source(place))
    files = code_files(place)
    lines = [f"{file.relative_to(place).as_posix()} {sha256(read_source(file))}" for file in files]
    return sha256("\n".join(lines).encode())


def code_files(place: Path) -> list[Path]:
    """List a file, or the files of a folder without bytecode, hidden files and copies that editors make.

    Raises:
        ModelError: there are more than ``MOST_FILES``, as in a folder of data.
    """
    if not place.is_dir():
        return [place]
    files = []
    for file in place.rglob("*"):
        inner = file.relative_to(place).parts
        if any(part.startswith(".") or part == "__pycache__" for part in inner) or file.name.endswith(_NO_CODE):
            continue
        if file.is_file():
            files.append(file)
        if len(files) > MOST_FILES:
            raise ModelError(
                f"package folder {place} holds more than {MOST_FILES:,} files, all of which would be part of the "
                "model's identity; keep data and runs in another folder"
            )
    return sorted(files)


def import_root(target: str) -> Path:
    """Return the folder that makes ``package.module:Class`` importable when it is on ``sys.path``.

    Raises:
        ModelError: there is no such module.
    """
    module, _, class_name = target.rpartition(":")
    path = module_file(module, class_name)
    return path.parents[module.count(".") + (path.stem == "__init__")]


def _file_of(module: str, class_name: str) -> Path:
    spec = _module_spec(module, class_name)
    if spec.origin is None or not spec.has_location:
        raise ModelError(f"module '{module}' has no file to take {class_name} from")
    return Path(spec.origin)


def _names_in(path: Path) -> set[str]:
    return set(_bound_names(parse_source(read_source(path), path)))


def _module_spec(module: str, class_name: str) -> ModuleSpec:
    *_, (name, spec) = module_specs(module)
    if spec is None:
        raise ModelError(
            f"there is no module '{name}' to import {class_name} from: install it, or name the file as FILE.py:Class"
        )
    return spec


def module_specs(module: str) -> Iterator[tuple[str, ModuleSpec | None]]:
    """Yield each part of a dotted name with its spec, the outermost first, without an import.

    The last spec is ``None`` if there is no such module. The spec of a folder without ``__init__.py`` has no origin.
    """
    top, *inner = module.split(".")
    try:
        spec = find_spec(top) if top.isidentifier() else None
    except (ValueError, ImportError):  # a module without a spec, such as __main__
        spec = None
    yield top, spec
    name, folders = top, list((spec and spec.submodule_search_locations) or ())
    for part in inner:
        if spec is None:
            return
        name = f"{name}.{part}"
        # By its last name, because by its full name a folder without __init__.py would need its parent to be imported.
        spec = PathFinder.find_spec(part, folders) if folders else None
        folders = list((spec and spec.submodule_search_locations) or ())
        yield name, spec


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the top level of a module defines, with ``*`` if the text does not show all of them."""
    for node in _top_level(tree.body):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Assign() | ast.AnnAssign() | ast.Expr():
                yield from _assigned_names(node)


def _assigned_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement assigns, with ``*`` for a call that may define any, as ``globals()`` may."""
    for part in ast.walk(statement):
        match part:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Call(func=ast.Name(id="globals" | "exec" | "setattr")):
                yield "*"


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, and those within ``if``, ``try``, ``with``, loops."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, part, []))
            for inner in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
                yield from _top_level(inner.body)


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
