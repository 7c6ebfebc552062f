"""What a model's source says without running it: the classes it holds, and the identity of its code."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from asrnn.errors import ModelError


def read_source(path: Path) -> bytes:
    """Read a source file.

    Raises:
        ModelError: it is not there, with the near match among its neighbours, or cannot be read.
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
    """List the classes that a file defines at its top level, in the file's order."""
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def no_class(place: str, class_name: str, names: Iterable[str]) -> ModelError:
    """Make the error for a class that is not where it was looked for."""
    there = sorted(name for name in names if not name.startswith("_"))
    hint = _near(class_name, there) or ";"
    return ModelError(f"{place} has no class '{class_name}'{hint} it has: {', '.join(there) or 'none'}")


def module_file(module: str, class_name: str) -> Path:
    """Locate the file of a module that should hold a class.

    ``importlib.util.find_spec`` of a dotted name imports the parents; this walks down the packages' search
    paths instead and imports nothing.

    Raises:
        ModelError: there is no such module, it has no file, or it plainly binds no such name.
    """
    path = _file_of(module, class_name)
    if path.suffix == ".py":
        names = _names_in(path)
        if class_name not in names and not names & {"*", "__getattr__"}:
            raise no_class(f"module '{module}'", class_name, (name for name in names if name[:1].isupper()))
    return path


def exported_names(module: str) -> set[str]:
    """Return the names that a module's text binds at its top level, and ``*`` where only running it can tell.

    Raises:
        ModelError: there is no such module, or it has no file.
    """
    return _names_in(_file_of(module, "classes"))


def is_importable(package: str) -> bool:
    """Return whether a package, one without dots, is installed or on the path."""
    return find_spec(package) is not None


def module_code(module: str, path: Path) -> dict[str, str | int]:
    """Identify the code of a module by the installed distribution that owns its file; else by its digest."""
    from importlib.metadata import distributions  # costs more than all else here, and is rarely needed

    depth = module.count(".") + (path.stem == "__init__")
    root = path.parents[depth]
    recorded = f"\n{path.relative_to(root).as_posix()},"
    for owner in distributions(path=[str(root)]):
        if recorded in "\n" + (owner.read_text("RECORD") or ""):
            return {"distribution": owner.name, "version": owner.version}
    return {"sha256": source_digest(module, path)}


def source_digest(module: str, path: Path) -> str:
    """Digest a module that stands alone, or all of its package: a class may be re-exported, and lean on others."""
    depth = module.count(".") + (path.stem == "__init__")
    if depth == 0:
        return sha256(read_source(path))
    package = path.parents[depth - 1]
    files = sorted(package.rglob("*.py"))
    lines = [f"{file.relative_to(package).as_posix()} {sha256(read_source(file))}" for file in files]
    return sha256("\n".join(lines).encode())


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
    top, *inner = module.split(".")
    spec = find_spec(top) if top.isidentifier() else None
    name = top
    for part in inner:
        if spec is None:
            break
        name = f"{name}.{part}"
        inside = spec.submodule_search_locations
        spec = PathFinder.find_spec(name, inside) if inside else None
    if spec is None:
        raise ModelError(
            f"there is no module '{name}' to import {class_name} from: install it, or name the file as FILE.py:Class"
        )
    return spec


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module's top level binds, and ``*`` where only running it can tell."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.If() | ast.Try():
                yield "*"


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
