"""Find suite files, and read them into a SuiteSpec."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.files.paths import expanded
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.reading import read_file
from asrnn_bench.files.validation import first_fault
from asrnn_bench.planning.spec import SuiteSpec


def shipped_suites() -> dict[str, Path]:
    """Return the suite files in the package, by name."""
    folder = Path(str(files("asrnn_bench") / "planning" / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_suite(name_or_file: str) -> SuiteSpec:
    """Return a shipped suite by its name, or a suite from a TOML file by its path.

    Raises:
        UsageError: the file cannot be read as a suite; the message says why in one line.
    """
    shipped = shipped_suites()
    if name_or_file in shipped:
        path = shipped[name_or_file]
    elif name_or_file.endswith(".toml"):
        path = expanded(name_or_file)
    else:
        raise UnknownNameError("suite", name_or_file, shipped)
    try:
        suite = SuiteSpec.model_validate(_parse_toml(read_file(path)))
    except OSError as error:
        raise UsageError(f"cannot read suite file {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {first_fault(error, SuiteSpec)}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {plain(str(error))}") from error
    if path not in shipped.values() and suite.name in shipped and suite != load_suite(suite.name):
        raise UsageError(f"{path} is called '{suite.name}' as a shipped suite is, and differs from it; give it a name")
    return suite


def _parse_toml(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text, from byte {error.start} on") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
