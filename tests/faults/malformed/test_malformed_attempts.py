"""A damaged or invented state file of a job directory causes no traceback, and never becomes a result."""

import json
import os
import platform
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from altered import hostile_values
from fault_support import PROGRESS, rows_of, warnings_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import malformed

from asrnn_bench.cli import invoke
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.watching.observer import Observer

KEYS = {
    "next.json": ["status", "reason"],
    "retry.json": ["after"],
    "progress.json": [*PROGRESS],
    "attempts/001/claim.json": ["host", "pid", "started", "allocation"],
    "attempts/001/exit.json": ["returncode", "kind", "reason", "saved_step", "seconds"],
}
"""The state files by which processes tell one another about a job."""


@pytest.mark.parametrize("count", [25, pytest.param(250, marks=pytest.mark.faults)])
def test_what_processes_say_may_be_damaged(
    at_work: JobDirectory, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    """It is not shown, causes no traceback, and never becomes a result."""
    rng = random.Random(count)
    texts = {
        "next.json": b'{"reason": "no data here", "status": "no-data"}\n',
        "retry.json": b'{"after": 0}\n',
        "progress.json": (at_work.path / "progress.json").read_bytes(),
        "attempts/001/claim.json": (at_work.path / "attempts/001/claim.json").read_bytes(),
        "attempts/001/exit.json": b'{"kind": "killed", "reason": "why", "returncode": -9, "saved_step": 2}\n',
    }
    for number in range(count):
        shutil.copytree(at_work.path, spare := at_work.path.with_name("spare"))
        name = rng.choice(sorted(KEYS))
        (at_work.path / name).write_bytes(next(malformed(texts[name], 1, seed=number)))
        look_at(at_work)
        assert invoke(["status", str(at_work.path.parents[3])]) == 0
        warnings_in(capfd)
        shutil.rmtree(at_work.path)
        spare.rename(at_work.path)


def look_at(directory: JobDirectory) -> None:
    """Read everything that runners, supervisors and observers read from a directory."""
    state, reason = directory.state()
    assert state in ("waiting", "running", "failed", "no-data")
    assert reason is None or reason.isprintable()
    directory.is_given_up(2)
    directory.holder()
    directory.ends()
    directory.progress()
    for attempt in directory.attempts():
        attempt.ended()
        attempt.lives()
        attempt.was_requeued()


def said(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw a state file with its own keys and any values."""
    return st.tuples(st.just(name), st.dictionaries(st.sampled_from(KEYS[name]), hostile_values, min_size=1))


@pytest.mark.parametrize("count", [40, pytest.param(250, marks=pytest.mark.faults)])
def test_what_processes_say_may_be_anything(at_work: JobDirectory, count: int) -> None:
    root = at_work.path.parents[3]

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(sorted(KEYS)).flatmap(said))
    def check(name_and_value: tuple[str, dict[str, Any]]) -> None:
        name, value = name_and_value
        target = at_work.path / name
        before = target.read_bytes() if target.exists() else None
        target.write_text(json.dumps({**value, "attempt": 1} if name == "progress.json" else value))
        look_at(at_work)
        observer, faults = Observer.below(root)
        assert not faults
        assert invoke(["status", str(root)]) == 0
        assert observer.look()[0].fraction <= 1
        target.unlink()
        if before is not None:
            target.write_bytes(before)

    check()


@pytest.mark.parametrize(
    "value",
    [{"step": "CON"}, {"loss": "x"}, {"steps_per_second": 5e-324}, {"step": [1]}, {"phase": 1}, {"step": 10**400}],
)
def test_progress_that_is_none_is_not_shown(at_work: JobDirectory, value: dict[str, Any]) -> None:
    (at_work.path / "progress.json").write_text(json.dumps({"attempt": 1, **value}))
    assert at_work.state() == ("running", None)
    assert at_work.progress() == {"attempt": 1}
    assert invoke(["status", str(at_work.path.parents[3])]) == 0


@pytest.mark.parametrize("value", ["x", [1], None, -1, 10**400, 1e300, True])
def test_an_end_that_counts_nothing_is_an_end_all_the_same(at_work: JobDirectory, value: object) -> None:
    end = {"returncode": -9, "kind": value, "reason": value, "saved_step": value, "seconds": value}
    (at_work.path / "attempts/001/exit.json").write_text(json.dumps(end))
    (found,) = at_work.ends()
    assert (found.returncode, found.kind) == (-9, "killed")
    assert found.saved_step in (0, 1)
    assert at_work.state()[0] == "failed"
    assert not at_work.is_given_up(2)


def test_what_an_attempt_says_of_its_start_cannot_spoil_its_end(at_work: JobDirectory) -> None:
    attempt = at_work.attempts()[0]
    for content in (b'{"a": 1e999}', b'{"a": NaN}', b"[" * 100_000, b'{"a": "\\ud800"}', b"{"):
        (attempt.path / "start.json").write_bytes(content)
        (attempt.path / "exit.json").unlink(missing_ok=True)
        attempt.write_end(End(-9, "killed", "why"))
        assert attempt.ended() == End(-9, "killed", "why")


@pytest.mark.parametrize("name", ["0", "1²", "٣", "00000000000000000000000000009", "1_0", "-1"])
def test_folders_that_are_no_attempts(at_work: JobDirectory, name: str) -> None:
    (at_work.path / "attempts" / name).mkdir()
    look_at(at_work)


@pytest.mark.parametrize("claim", [{}, {"pid": 2**22 + 1, "started": None}, {"pid": None}, {"pid": "1"}, {"pid": [1]}])
def test_a_claim_that_says_nothing_is_no_living_process(at_work: JobDirectory, claim: dict[str, object]) -> None:
    (at_work.path / "attempts/001/claim.json").write_text(json.dumps({"host": platform.node(), **claim}))
    assert at_work.holder() is None
    assert at_work.state() == ("waiting", None)


@pytest.mark.parametrize("days", [-1, 1])
def test_the_times_of_files_say_nothing(runs: Path, at_work: JobDirectory, days: int, tmp_path: Path) -> None:
    """Case 18 of the faults: a clock that is a day off ends no job, revives none and changes no table."""
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(tmp_path / "before")]) == 0
    then = time.time() + 86400 * days
    for path in tmp_path.rglob("*"):
        os.utime(path, (then, then))
    assert at_work.state() == ("running", None)
    assert at_work.holder() is not None
    assert at_work.progress() == PROGRESS
    directories = list(JobDirectory.below(runs))
    assert [directory.state()[0] for directory in directories if directory != at_work] == ["done"] * 5
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(tmp_path / "after")]) == 0
    assert rows_of(tmp_path / "after") == rows_of(tmp_path / "before")
    dead = at_work.path / "attempts/001/claim.json"
    dead.write_text(dead.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    os.utime(dead, (then, then))
    assert at_work.holder() is None
