"""Import a model's file from the bytes that were digested, and report a failure with its line in the file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType

from asrnn.errors import ModelError
from asrnn.sources.local_imports import TRAVELS_ALONE
from asrnn.sources.source_code import read_source, sha256


class _VerbatimLoader(SourceFileLoader):
    """Run the bytes that were digested; the bytecode cache is not used, because it can miss a quick edit."""

    def __init__(self, fullname: str, path: str, source: bytes) -> None:
        super().__init__(fullname, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source, self.path)


def import_file(path: Path, digest: object, model: str) -> ModuleType:
    """Import a single file, once in a process for each content.

    Args:
        path: the file.
        digest: its sha256 when it was found.
        model: the name of the model in it, for the message.

    Raises:
        ModelError: it has changed since then, or running it fails.
    """
    source = read_source(path)
    actual = sha256(source)
    if actual != digest:
        raise ModelError(f"{path} was changed since model '{model}' was planned: plan it anew")
    name = f"asrnn_model_{actual[:16]}"
    if name in sys.modules:  # a second class of the same code would not be unpickled as the first one
        return sys.modules[name]
    loader = _VerbatimLoader(name, str(path), source)
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with explain_import_errors(path):
            loader.exec_module(module)
    except ModelError:
        del sys.modules[name]
        raise
    return module


@contextmanager
def explain_import_errors(path: Path) -> Iterator[None]:
    """Turn any error within the context into one line that describes it and names the line of a file.

    Raises:
        ModelError: there was an error, which is its cause.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: BaseException) -> ModelError:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f"{path}, line {line}" if line else str(path)
    is_missing_file = isinstance(error, ImportError | FileNotFoundError)
    hint = f"; {TRAVELS_ALONE}" if is_missing_file else ""
    return ModelError(f"{where}: importing failed: {type(error).__name__}: {' '.join(str(error).split())}{hint}")
