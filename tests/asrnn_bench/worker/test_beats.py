"""The progress of an attempt: written from its start on, never a reason to end, and cheap to follow."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from failing_disk import PASSING, FailingDisk
from waiting import wait_until

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.supervising.heartbeat import Heartbeat
from asrnn_bench.worker.beats import Beats


def test_a_start_is_seen_to_go_on_until_the_training_begins(directories: list[JobDirectory]) -> None:
    directory, attempt = directories[0], directories[0].claim()
    beats = Beats(directory, attempt.number, 10, interval=0.01)
    beats.begin()
    wait_until(lambda: directory.progress().get("seq", 0) > 3, "a fourth beat")
    assert directory.progress()["phase"] == "starting"
    beats.write("starting", 4)
    beats.write("training", 5, loss=1.0)
    said = directory.progress()
    assert (said["phase"], said["step"], said["loss"]) == ("training", 5, 1.0)
    seen = beats.sequence
    beats.end()
    assert beats.sequence == seen


def test_a_start_that_never_ends_falls_silent(directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrnn_bench.worker.beats.LONGEST_START_SECONDS", 0.05)
    beats = Beats(directories[0], directories[0].claim().number, 10, interval=0.01)
    beats.begin()
    assert beats._thread is not None
    beats._thread.join(10)
    assert beats.sequence == 6


def test_a_rank_that_is_not_the_first_writes_nothing(directories: list[JobDirectory]) -> None:
    directory = directories[0]
    beats = Beats(directory, directory.claim().number, 10, silent=True)
    beats.begin()
    beats.write("training", 1)
    assert directory.progress() == {}


@pytest.mark.parametrize("number", [*PASSING, 13, 28])
def test_progress_that_cannot_be_written_ends_nothing(
    number: int, directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = Beats(directories[0], directories[0].claim().number, 10)
    disk = FailingDisk(monkeypatch, directories[0].path, number)
    disk.failing = True
    beats.write("training", 1)
    assert disk.failures
    disk.failing = False
    beats.write("training", 2)
    assert directories[0].progress()["step"] == 2


def test_a_curve_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    from asrnn_bench.records.record import CurvePoint
    from asrnn_bench.worker.selection import Selection

    selection = Selection(tmp_path / "gone" / "metrics.jsonl")
    selection._write(CurvePoint(step=1, train_loss=1.0, val_accuracy=0.5, val_loss=1.0))


def test_a_look_costs_one_stat_and_a_change_one_file_read(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, attempt = directories[0], directories[0].claim()
    counts: Counter[str] = Counter()
    for name in ("stat", "open", "scandir", "listdir"):
        monkeypatch.setattr(os, name, _counted(getattr(os, name), name, counts))
    pulse = Heartbeat(directory, attempt=attempt)
    for number in range(3):
        directory.write_progress({"attempt": attempt.number, "seq": number})
        counts.clear()
        pulse.still_for()
        assert counts == {"stat": 1, "open": 1}
        counts.clear()
        for _ in range(10):
            pulse.still_for()
        assert counts == {"stat": 10}
    assert pulse.has_moved


def _counted(call: Any, name: str, counts: Counter[str]) -> Any:
    def counted(*args: Any, **options: Any) -> Any:
        counts[name] += 1
        return call(*args, **options)

    return counted
