"""What the tests of finding and loading models share."""

import textwrap
from pathlib import Path

import pytest

from asrnn.errors import AsrnnError

CELLS = Path(__file__).parents[3] / "asrnn" / "cells"
BUILT_IN = sorted(
    path.stem.replace("_", "-") for path in CELLS.glob("*.py") if "\n    version: ClassVar[int] = " in path.read_text()
)
CELL = """
from torch import nn

class MyCell(nn.Module):
    pass

class Other:
    pass
"""


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text))
    return path


def one_line(caught: pytest.ExceptionInfo[AsrnnError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)
