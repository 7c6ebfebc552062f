"""What the tests of finding and loading models share."""

import textwrap
from pathlib import Path

import pytest

from asrnn.errors import AsrnnError

BUILT_IN = [
    "antisymmetric",
    "antisymmetric-gated",
    "feedback",
    "gru",
    "lstm",
    "rnn",
    "unstructured-gated",
]
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
