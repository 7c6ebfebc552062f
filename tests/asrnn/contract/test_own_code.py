"""A model that reads or imports files outside its own code must be refused, and the file named."""

import gc
import os
import sys
import time
from pathlib import Path

import pytest
from registry_support import write

from asrnn.contract import CHECKS, Finding, ModelUnderTest, run_checks

MODEL = """
import importlib
from pathlib import Path
from torch import nn

class Own(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        {build}
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x):
        {forward}
        return self.rnn(x)
"""
# torch.jit.script warns that it is on its way out; models still use it.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
LOOKED_AT = tuple(check for check in CHECKS if check.name in ("builds", "own-code"))


def findings(path: Path) -> dict[str, Finding]:
    subject = ModelUnderTest(f"{path}:Own", {})
    return {finding.name: finding for finding in run_checks(subject, LOOKED_AT)}


def written_a_minute_ago(path: Path, text: str) -> Path:
    write(path, text)
    os.utime(path, (time.time() - 60,) * 2)
    return path


def test_a_model_that_needs_only_its_own_file_passes(tmp_path: Path) -> None:
    found = findings(write(tmp_path / "own.py", MODEL.format(build="Path(__file__).read_text()", forward="pass")))
    assert found["own-code"].verdict.outcome == "passed"


@pytest.mark.parametrize("where", ["build", "forward"])
def test_a_model_that_reads_a_file_elsewhere_is_refused(tmp_path: Path, where: str) -> None:
    table = written_a_minute_ago(tmp_path / "gain.txt", "1.0")
    words = dict.fromkeys(("build", "forward"), "pass") | {where: f"Path({str(table)!r}).read_text()"}
    found = findings(write(tmp_path / "own.py", MODEL.format(**words)))
    assert found["own-code"].verdict.outcome == "failed"
    assert f"model 'own' reads {table}, which is no part of its code" in found["own-code"].words


def test_a_model_that_reads_a_file_beside_it_is_refused(tmp_path: Path) -> None:
    written_a_minute_ago(tmp_path / "gain.txt", "1.0")
    read = "Path(__file__).with_name('gain.txt').read_text()"
    found = findings(write(tmp_path / "own.py", MODEL.format(build=read, forward="pass")))
    assert found["builds"].verdict.outcome == "failed"
    assert "a model's file travels alone into each job directory" in found["builds"].words


def test_a_late_import_of_a_computed_module_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    helper = write(tmp_path / "lib" / "late_gains.py", "GAIN = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    words = {"build": "pass", "forward": "importlib.import_module('late_' + 'gains')"}
    found = findings(write(tmp_path / "own.py", MODEL.format(**words)))
    assert found["own-code"].verdict.outcome == "failed"
    assert str(helper) in found["own-code"].words


def test_a_model_is_judged_alike_each_time_it_is_checked(tmp_path: Path) -> None:
    """A file is imported once per process, however many settings of its model are checked."""
    table = written_a_minute_ago(tmp_path / "gain.txt", "1.0")
    words = {"build": f"Path({str(table)!r}).read_text()", "forward": "pass"}
    path = write(tmp_path / "own.py", MODEL.format(**words))
    assert [findings(path)["own-code"].verdict.outcome for _ in range(2)] == ["failed", "failed"]
    scripted = "import torch\n" + MODEL.format(build="self.unit = torch.jit.script(Unit())", forward="pass")
    unit = "class Unit(nn.Module):\n    def forward(self, x):\n        return x\n\n\nclass Own"
    path = write(tmp_path / "scripted.py", scripted.replace("class Own", unit))
    for _ in range(2):
        found = findings(path)
        gc.collect()
        assert found["builds"].verdict.outcome == "passed", found["builds"].line


def test_a_model_is_not_refused_for_the_imports_of_an_earlier_one(tmp_path: Path) -> None:
    first = write(tmp_path / "first.py", MODEL.format(build="pass", forward="pass"))
    second = write(tmp_path / "second.py", MODEL.format(build="pass", forward="x.detach()"))
    for path in (first, second, first, second):
        assert findings(path)["own-code"].verdict.outcome == "passed", findings(path)["own-code"].line
    assert [each.verdict.outcome for each in run_checks(ModelUnderTest("rnn", {}), LOOKED_AT)] == ["passed", "passed"]
