"""One other process builds models anew for all checks. It is restarted if it dies, and ends with its parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import broken_models
import psutil
import pytest

from asrnn.contract import ModelUnderTest, spawned
from asrnn.contract.checks.resuming import Continued, go_on_from, interrupted
from asrnn.contract.spawned import SpawnedError, as_plain, ask
from asrnn.registry import find_model

DOES_SOMETHING = """
import os
import signal
import time

from torch import nn


class Does(nn.GRU):
    def __init__(self, input_size, hidden_size, *, what="nothing"):
        super().__init__(input_size, hidden_size, batch_first=True)
        print("what a model prints is no answer")
        if what == "raise":
            raise KeyError("two\\nlines")
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "sleep":
            time.sleep(600)
        if what == "name":
            raise ValueError(f"process {os.getpid()}")
"""


@pytest.fixture
def request_of(tmp_path: Path):
    """Make a request to time a model that does something when it is built."""
    path = tmp_path / "does.py"
    path.write_text(DOES_SOMETHING)

    def make(what: str) -> dict:
        sizes = {"input_size": 3, "hidden_size": 4, "device": "cpu"}
        return {
            "source": as_plain(find_model(f"{path}:Does")),
            "hyper": {"what": what},
            "sizes": sizes,
            "shape": (2, 20),
        }

    return make


def process_of(request_of) -> int:
    with pytest.raises(SpawnedError, match="process [0-9]+") as caught:
        ask("measure", request_of("name"))
    return int(str(caught.value).split("process ")[1].split()[0])


def test_one_process_answers_all_requests_with_the_same_numbers(request_of) -> None:
    numbers = {process_of(request_of) for _ in range(2)}
    assert len(numbers) == 1
    assert os.getpid() not in numbers


def test_a_training_continues_in_the_other_process_as_in_this_one(tmp_path: Path) -> None:
    path = tmp_path / "cells.py"
    path.write_text(Path(broken_models.__file__).read_text())
    sizes = {"input_size": 3, "hidden_size": 4, "device": "cpu"}
    subject = ModelUnderTest(find_model(f"{path}:Sound"), {}, **sizes)
    subject.shortened = 16
    saved, _ = interrupted(subject)
    here = go_on_from(subject, saved)
    request = {"source": as_plain(subject.source), "hyper": {}, "sizes": sizes, "shortened": 16, "saved": saved}
    there = Continued(**ask("go on", request))
    assert there.losses == pytest.approx(here.losses, rel=1e-5)  # the same operations, at other addresses
    assert there.weights.keys() == here.weights.keys()


def test_a_failure_in_the_other_process_is_one_line_and_it_keeps_running(request_of) -> None:
    before = process_of(request_of)
    with pytest.raises(SpawnedError, match=r"KeyError: 'two\\nlines'"):
        ask("measure", request_of("raise"))
    assert process_of(request_of) == before


def test_a_process_that_was_killed_is_reported_and_started_again(request_of) -> None:
    before = process_of(request_of)
    with pytest.raises(SpawnedError, match="the other process was ended, with exit status -9"):
        ask("measure", request_of("kill"))
    assert process_of(request_of) != before
    assert signal.SIGKILL == 9


def test_a_process_that_hangs_is_killed(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_of(request_of)
    monkeypatch.setattr(spawned, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(SpawnedError, match="the other process gave no answer within 0 s"):
        ask("measure", request_of("sleep"))
    assert not psutil.pid_exists(before)


def test_measure_returns_the_time_and_memory_of_a_step(request_of) -> None:
    sizes = {"input_size": 3, "hidden_size": 256, "device": "cpu"}
    (quick, little), _ = ask("measure", request_of("nothing"))
    (slow, much), other = ask("measure", {**request_of("nothing"), "sizes": sizes, "shape": (16, 100)})
    assert min(quick, slow, other[0]) > 0
    if sys.platform == "linux":
        # The states of all steps alone: three gates and a state of 256 floats for each of 1,600 steps.
        assert much > 16 * 100 * 4 * 256 * 4 / 2**20
        assert little < much


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_needs_no_main_guard(guarded: bool, tmp_path: Path) -> None:
    guard = "if __name__ == '__main__':" if guarded else "if True:"
    (tmp_path / "script.py").write_text(
        f"from asrnn import check_model\n{guard}\n    report = check_model('lstm')\n    print(report.text)\n"
    )
    found = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert found.stdout.splitlines()[-1].startswith("lstm keeps the contract: "), found.stdout + found.stderr
    assert found.stderr == ""
