"""Find the local code that a model imports, which is neither standard library nor an installed distribution.

A result belongs to the code that made it. Name and version identify an installed distribution. Nothing identifies a
helper module on ``PYTHONPATH``, so its files are digested with those of the model.
"""

import ast
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from asrnn.errors import ModelError
from asrnn.sources.source_code import code_files, module_specs, parse_source, read_source

OWN_PACKAGES = frozenset({"asrnn", "asrnn_data", "asrnn_bench"})
"""Their cells and tasks have versions of their own; the files of a checkout are no part of a model."""

TRAVELS_ALONE = (
    "a model's file travels alone into each job directory: install what it needs, put a helper's folder on PYTHONPATH, "
    "or make it a package and name package.module:Class"
)
"""The advice for a file that needs another file beside it."""

_SITES = ("site-packages", "dist-packages")


_SYSTEM = ("/dev", "/etc", "/proc", "/sys", "/usr", "/run", "/var")
"""Folders of the operating system, in which no model keeps its numbers."""


def local_imports(files: Iterable[Path], package: str | None = None) -> dict[str, Path]:
    """Return the local modules that some files import, directly or through other local modules.

    It finds import statements anywhere in a file, and ``import_module`` and ``__import__`` with a literal name.

    Args:
        files: the source files to begin with.
        package: the top-level package that the files belong to, whose own files are not listed.

    Returns:
        the file of each module, or the folder of each package, by module name.

    Raises:
        ModelError: a file cannot be read or parsed.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    own = [file for file in files if file.suffix == ".py"]
    waiting = list(own)
    while waiting:
        file = waiting.pop()
        try:
            names = sorted(_imported_names(parse_source(read_source(file), file)))
        except ModelError:
            if file in own:
                raise
            continue  # such as a template in a package; a file that cannot be parsed cannot be imported
        for name in names:
            top = name.partition(".")[0]
            if name in seen or top in OWN_PACKAGES or top == package:
                continue
            seen.add(name)
            for module, place in _local_places(name):
                if module not in found:
                    found[module] = place
                    waiting += [each for each in code_files(place) if each.suffix == ".py"]
    return found


def refuse_relative_imports(tree: ast.Module, path: Path) -> None:
    """Refuse a single file that has a relative import.

    An import within ``try`` is allowed, because ``except`` may replace it.

    Raises:
        ModelError: it has one; the message names the line.
    """
    guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in guarded:
            raise ModelError(f"{path}, line {node.lineno}: a relative import; {TRAVELS_ALONE}")


def refuse_unknown_modules(imported: Iterable[str], known: Iterable[Path], model: str) -> None:
    """Refuse a model that imported local code without an import statement.

    Args:
        imported: the names that the model added to ``sys.modules``.
        known: the files and folders that the model's identity covers.
        model: the name of the model, for the message.

    Raises:
        ModelError: it did; the message names the module and its file.
    """
    covered = [place.resolve() for place in known]
    for name in sorted(imported):
        module = sys.modules.get(name)
        origin = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not isinstance(origin, str) or top in OWN_PACKAGES:
            continue
        file = Path(origin).resolve()
        if any(file == place or place in file.parents for place in covered) or is_cache_or_system_file(file):
            continue
        if not _is_local(file, name):
            continue
        raise ModelError(
            f"model '{model}' imports {name} from {file} without an import statement, so that an edit there would go "
            "unnoticed; import it by a plain import statement, or install it as a package"
        )


def is_installed_file(file: Path) -> bool:
    """Return whether a file belongs to the standard library or to an installed distribution."""
    return any(root in file.parents for root in _fixed_folders())


def is_cache_or_system_file(file: Path) -> bool:
    """Return whether a file is in a cache, or belongs to Python, to this package or to the operating system."""
    caches = [Path(value) for name, value in os.environ.items() if name.endswith(("CACHE_HOME", "CACHE_DIR")) and value]
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - which raises nothing where there is no home
    places = [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(__file__).resolve().parents[1],
        *caches,
        *map(Path, _SYSTEM),
    ]
    places += [home / ".cache", home / ".triton", home / ".config"]
    compiled = tuple(str(Path(tempfile.gettempdir()) / name) for name in ("torchinductor_", "asrnn-bench-"))
    return str(file).startswith(compiled) or any(place.resolve() in file.parents for place in places)


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names if alias.name != "*")
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ) if name and not name.startswith("."):
                yield name


def _local_places(name: str) -> Iterator[tuple[str, Path]]:
    """Yield the local module or package of a dotted name, with its file or folder."""
    for module, spec in module_specs(name):
        if spec is None:
            return
        if spec.origin is not None and spec.has_location:
            file = Path(spec.origin)
            if _is_local(file.resolve(), module):
                yield module, file.parent if spec.submodule_search_locations else file
            return


def _is_local(file: Path, module: str) -> bool:
    """Return whether the file of a module belongs neither to the standard library nor to an installed distribution."""
    for root in _fixed_folders():
        if root in file.parents:
            if root.name not in _SITES:
                return False
            return not _is_installed(root, file.relative_to(root).parts[0])
    depth = min(module.count(".") + (file.stem == "__init__"), len(file.parents) - 1)
    return not _is_installed(file.parents[depth], file.relative_to(file.parents[depth]).parts[0])


@cache
def _fixed_folders() -> tuple[Path, ...]:
    """Return the folders of installed distributions, then those of the standard library."""
    sites = [Path(entry).resolve() for entry in sys.path if Path(entry).name in _SITES]
    standard = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
    return tuple(dict.fromkeys([*sites, *standard]))


@cache
def _is_installed(root: Path, top: str) -> bool:
    """Return whether a distribution in ``root`` owns the module or package ``top``."""
    name = top.partition(".")[0]
    if any(root.glob(f"{name}-*.dist-info")):
        return True
    from importlib.metadata import distributions  # slow to import, and rarely needed

    for owner in distributions(path=[str(root)]):
        record = owner.read_text("RECORD")
        if record is not None and (f"\n{top}/" in f"\n{record}" or f"\n{top}," in f"\n{record}"):
            return True
        # What Debian installs lists no files; beside a checkout, such a folder stands for code that may be edited.
        if record is None and root.name in _SITES and name in (owner.read_text("top_level.txt") or "").split():
            return True
    return False
