"""After an interrupt the local launcher says what it waits for; a second interrupt ends it at once."""

from pathlib import Path

import pytest

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching import local
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot

LOOKS = 5
"""How often its worker is looked at until it has saved."""


class Saving:
    """A supervisor whose worker takes its time to save."""

    def __init__(self, directory: JobDirectory, *_: object) -> None:
        self.directory, self.last_words, self.looks, self.asked = directory, "", 0, False
        self.stuck: list[str] = []

    def start(self, place: object) -> str:
        return "started"

    def watch(self) -> bool:
        self.looks += self.asked
        return self.looks < LOOKS

    def stop(self) -> None:
        self.asked = True

    def kill(self) -> None:
        killed.append(self.directory)

    def is_held(self) -> bool:
        return False

    def is_gone(self) -> bool:
        return True


killed: list[JobDirectory] = []


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[JobDirectory]:
    monkeypatch.setattr(local, "Supervisor", Saving)
    killed.clear()
    return [JobDirectory(tmp_path / name) for name in ("first", "second")]


SLOTS = [Slot(f"core {core}", (("CUDA_VISIBLE_DEVICES", ""),)) for core in (0, 1)]


def test_an_interrupt_says_at_once_what_it_waits_for(two: list[JobDirectory]) -> None:
    said: list[str] = []

    def watch(stopping: str = "", /) -> None:
        said.append(stopping)
        if not stopping:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local(two, SLOTS, Options(grace_seconds=30.0), watch)
    assert said[:2] == ["", "saving 2 jobs, up to 30 s; interrupt again to end at once"]
    assert len(said) == 1 + LOOKS
    assert killed == []


def test_a_second_interrupt_waits_for_nothing(two: list[JobDirectory]) -> None:
    def watch(stopping: str = "", /) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local(two, SLOTS, Options(), watch)
    assert killed == two


def test_jobs_are_saved_when_the_terminal_is_gone(two: list[JobDirectory]) -> None:
    def watch(stopping: str = "", /) -> None:
        raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        run_local(two, SLOTS, Options(), watch)
    assert killed == []
