"""Test that a file which a model reads, and which its identity does not cover, is refused by name."""

import os
import time
from pathlib import Path

import pytest
from registry_support import one_line, write

from asrnn.errors import ModelError
from asrnn.loading import load_model
from asrnn.registry import covered_places, find_model
from asrnn.sources.file_reads import FileReads

READERS = {
    "open": "with open({path!r}) as file: file.read()",
    "pathlib": "__import__('pathlib').Path({path!r}).read_text()",
    "numpy": "__import__('numpy').fromfile({path!r}, dtype='uint8')",
    "torch": "__import__('torch').load({path!r}, weights_only=True)",
    "os": "__import__('os').open({path!r}, 0)",
    "exec": "exec(__import__('pathlib').Path({path!r}).read_text())",
    "dlopen": "__import__('ctypes').CDLL({path!r})",
}
MODEL = """
from torch import nn

class MyCell(nn.Module):
    def __init__(self):
        super().__init__()
        try:
            {read}
        except Exception:
            pass  # what is in the file does not matter here
"""


@pytest.mark.parametrize("name", READERS)
def test_files_that_a_model_may_not_read(tmp_path: Path, name: str) -> None:
    table = write(tmp_path / "table.txt", "1")
    os.utime(table, (time.time() - 60,) * 2)
    path = write(tmp_path / "my_cell.py", MODEL.format(read=READERS[name].format(path=str(table))))
    source = find_model(f"{path}:MyCell")
    reads = FileReads(covered_places(source), source.name)
    with reads.watching():
        load_model(source)()
    assert list(reads.files) == [table]
    with pytest.raises(ModelError) as caught:
        reads.refuse()
    assert one_line(caught).startswith(f"model 'my-cell' reads {table}, which is no part of its code")


def test_files_that_a_model_may_read(tmp_path: Path) -> None:
    """Its own file, its own scratch, the system's and installed files, what others read, and what comes after."""
    other = write(tmp_path / "other.txt", "1")
    os.utime(other, (time.time() - 60,) * 2)
    scratch = tmp_path / "scratch.txt"
    read = (
        f"P = __import__('pathlib').Path; P(__file__).read_text(); P({str(scratch)!r}).write_text('x'); "
        f"P({str(scratch)!r}).read_text(); P('/proc/self/stat').read_text(); "
        "P(__import__('torch').__file__).read_text(); __import__('json.tool')"
    )
    path = write(tmp_path / "my_cell.py", MODEL.format(read=read))
    source = find_model(f"{path}:MyCell")
    reads = FileReads(covered_places(source), source.name)
    with reads.watching():
        load_model(source)()
        other.read_text()
    other.read_text()
    assert scratch.read_text() == "x"
    assert not reads.files
    reads.refuse()
