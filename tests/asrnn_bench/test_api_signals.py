"""A run from Python that gets SIGTERM lets its workers save before the process ends, as the command does."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asrnn_bench
from asrnn_bench import api


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def execute(*_: Any) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            found.append("workers saved")

    monkeypatch.setattr(api, "execute", execute)
    monkeypatch.setattr(os, "kill", lambda pid, number: found.append((pid, number)))
    return found


def test_a_signal_ends_the_workers_first_and_then_the_process(
    tiny_suite: Path, tmp_path: Path, events: list[Any]
) -> None:
    asrnn_bench.run(str(tiny_suite), output=tmp_path / "runs", leaderboards=tmp_path / "leaderboards")
    assert events == ["workers saved", (os.getpid(), signal.SIGTERM)]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_caller_is_kept(tiny_suite: Path, tmp_path: Path, events: list[Any]) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    with pytest.raises(AttributeError):  # the pretended run returns no outcome
        asrnn_bench.run(str(tiny_suite), output=tmp_path / "runs", leaderboards=tmp_path / "leaderboards")
    assert heard == [signal.SIGTERM]
    assert events == ["workers saved"]


def test_outside_of_the_main_thread_no_signal_is_handled() -> None:
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with api._ended_in_order():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failures
