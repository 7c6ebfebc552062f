"""The other process that models are sent to: one for all, there again after its end, and outlived by nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import broken_models
import psutil
import pytest
import torch
from torch import Tensor, nn

from asrnn.contract import spawned
from asrnn.contract.spawned import SpawnedError, outputs_there, steps_there
from asrnn.registry import find_model, load_model

X = torch.linspace(-1, 1, 2 * 5 * 3).reshape(2, 5, 3)


class Names(nn.Module):
    """Gives out the number of the process that it runs in."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor(os.getpid())


class Raises(nn.Module):
    """Raises something in every process but the one that made it."""

    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("two\nlines")


class Kills(nn.Module):
    """Ends its process."""

    def forward(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


def test_one_other_process_computes_the_same_again_and_again() -> None:
    model = broken_models.Sound(3, 4)
    found = outputs_there(None, model, X)
    assert torch.equal(found, model(X)[0])  # the same operations in the same order
    assert not found.requires_grad
    numbers = {int(outputs_there(None, Names(), X)) for _ in range(2)}
    assert len(numbers) == 1
    assert os.getpid() not in numbers


def test_a_class_of_a_file_is_found_there_by_its_source(tmp_path: Path) -> None:
    path = tmp_path / "cells.py"
    path.write_text(Path(broken_models.__file__).read_text())
    source = find_model(f"{path}:Sound")
    model = load_model(source)(3, 4)
    assert type(model).__module__ != "broken_models"
    assert torch.equal(outputs_there(source, model, X), model(X)[0])


def test_what_fails_there_is_one_line_and_the_process_goes_on() -> None:
    before = int(outputs_there(None, Names(), X))
    with pytest.raises(SpawnedError, match=r"^KeyError: 'two\\nlines'$"):
        outputs_there(None, Raises(), X)
    with pytest.raises(AttributeError, match="Can't pickle local object"):
        outputs_there(None, broken_models.HoldsALambda(3, 4), X)
    assert int(outputs_there(None, Names(), X)) == before


def test_a_process_that_was_ended_is_said_to_be_and_is_there_again() -> None:
    before = int(outputs_there(None, Names(), X))
    with pytest.raises(SpawnedError, match="the spawned process was ended, with exit status -9"):
        outputs_there(None, Kills(), X)
    assert int(outputs_there(None, Names(), X)) != before


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    before = int(outputs_there(None, Names(), X))
    monkeypatch.setattr(spawned, "TIMEOUT_SECONDS", 0.0)
    with pytest.raises(SpawnedError, match="the spawned process gave no answer within 0 s"):
        steps_there(None, [nn.LSTM(3, 64, batch_first=True)], torch.ones(32, 400, 3))
    assert not psutil.pid_exists(before)


def test_the_time_and_memory_of_a_step() -> None:
    small, large = nn.LSTM(3, 4, batch_first=True), nn.LSTM(3, 256, batch_first=True)
    x = torch.ones(16, 100, 3)
    (quick, little), (slow, much) = steps_there(None, [small, large], x)
    assert min(quick, slow) > 0
    if sys.platform == "linux":
        # The states of all steps alone, four gates and two states of 256 floats for each of 1,600 steps.
        assert much > 16 * 100 * 6 * 256 * 4 / 2**20
        assert little < much


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_that_has_no_main_guard_is_told_so(guarded: bool, tmp_path: Path) -> None:
    guard = "if __name__ == '__main__':" if guarded else "if True:"
    (tmp_path / "script.py").write_text(
        f"from asrnn import check_model\n{guard}\n    report = check_model('lstm')\n    print(report.text)\n"
    )
    found = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200
    )
    if guarded:
        assert found.stdout.splitlines()[-1].startswith("lstm keeps the contract: "), found.stdout
        assert found.stderr == ""
    else:
        (line,) = [line for line in found.stdout.splitlines() if line.startswith("FAIL")]
        assert "no process can be spawned from here" in line
        assert "if __name__ == '__main__':" in line
        assert "UsageError: a script that checks a model does so under" in found.stderr
