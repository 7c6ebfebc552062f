"""Job directories whose files are damaged: every verb still says where the run stands, and no result is another one."""

import csv
import json
import os
import platform
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY, done, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import NO_FILES, hostile_values, malform_path, malformed

from asrnn_bench.cli import invoke
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.records import Job, without_result
from asrnn_bench.results.publishing import bring_up_to_date
from asrnn_bench.running.attempts import End
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.snapshot import Observer

PROGRESS = {
    "attempt": 1,
    "seq": 3,
    "phase": "training",
    "step": 2,
    "max_steps": 4,
    "loss": 2.3,
    "steps_per_second": 10.5,
    "memory_mib": 700.0,
}

KEYS = {
    "next.json": ["status", "reason"],
    "retry.json": ["after"],
    "progress.json": [*PROGRESS],
    "attempts/001/claim.json": ["host", "pid", "started", "allocation"],
    "attempts/001/exit.json": ["returncode", "kind", "reason", "saved_step", "seconds"],
}
"""What processes tell one another, beside the job and its result."""


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return make_plan(load_suite(str(path)), Request(seeds=[0, 1])).jobs


@pytest.fixture
def runs(tmp_path: Path, jobs: list[Job]) -> Path:
    """A run of six jobs, all of which are done."""
    for job in jobs:
        directory = JobDirectory.of(tmp_path / "runs", job)
        directory.write_job(job)
        directory.publish(done(job, 0.5), directory.claim())
    return tmp_path / "runs"


def rows_of(folder: Path) -> list[str]:
    return (folder / "tiny.tiny.csv").read_text().splitlines()


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    return [line for line in said.out.splitlines() if line.startswith("warning:")]


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.faults)])
def test_a_damaged_result_is_left_out_with_a_warning(
    runs: Path, jobs: list[Job], tmp_path: Path, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    """Case 14 of the faults: it is skipped, the others stand, and ``--strict`` says so in the exit status."""
    whole = tmp_path / "whole"
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(whole), "--strict"]) == 0
    assert lines(capfd) == []
    records = [done(job, 0.5) for job in jobs]
    target = JobDirectory.of(runs, jobs[0]).path / "result.json"
    text = target.read_bytes()
    foreign = records[1].text().encode()
    newer = text.replace(b'"schema_version": 3', b'"schema_version": 9')
    for number, content in enumerate([b"", b"{}", text[:-9], foreign, newer, *malformed(text, count, seed=count)]):
        target.unlink()
        target.write_bytes(content)
        found = tmp_path / f"found-{number}"
        status = invoke(["leaderboard", str(runs), "--leaderboards", str(found), "--strict"])
        warnings = lines(capfd)
        if status == 0:
            assert warnings == []
            assert rows_of(found) == rows_of(whole)
            continue
        assert status == 1
        assert len(warnings) == 1
        assert str(target) in warnings[0]
        with (found / "tiny.tiny.csv").open(newline="") as file:
            seeds = {row["model"]: (row["mean"], row["n_seeds"], row["n_failed"]) for row in csv.DictReader(file)}
        assert sorted(seeds.values()) == [("0.5", "1", "0"), ("0.5", "2", "0"), ("0.5", "2", "0")]
        assert target.read_bytes() == content
        shutil.rmtree(found)


@pytest.mark.parametrize("name", ["result.json", "job.json"])
@pytest.mark.parametrize("how", NO_FILES)
def test_what_is_no_file_is_said_and_harms_no_other(
    runs: Path, jobs: list[Job], tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    target = JobDirectory.of(runs, jobs[0]).path / name
    malform_path(target, how)
    assert invoke(["status", str(runs)]) == 0
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(tmp_path / "found")]) == 0
    lines(capfd)
    assert len(rows_of(tmp_path / "found")) == 4


def test_a_result_in_the_leaderboards_stands_when_the_runs_own_is_damaged(
    runs: Path, jobs: list[Job], tmp_path: Path
) -> None:
    found = tmp_path / "found"
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(found)]) == 0
    before = {path: path.read_bytes() for path in found.rglob("*.*") if path.is_file()}
    (JobDirectory.of(runs, jobs[0]).path / "result.json").write_text("{}")
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(found)]) == 0
    bring_up_to_date(found, [without_result(job, "failed", "a crash") for job in jobs])
    assert {path: path.read_bytes() for path in found.rglob("*.*") if path.is_file()} == before


@pytest.fixture
def at_work(tmp_path: Path, jobs: list[Job]) -> JobDirectory:
    """A job that this process has in hand, and has made some progress with."""
    directory = JobDirectory.of(tmp_path / "runs", jobs[2])
    shutil.rmtree(directory.path, ignore_errors=True)
    directory.write_job(jobs[2])
    directory.claim()
    directory.write_progress(PROGRESS)
    return directory


@pytest.mark.parametrize("count", [25, pytest.param(250, marks=pytest.mark.faults)])
def test_what_processes_say_may_be_damaged(
    at_work: JobDirectory, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    """It is left out of what is shown; it is never a traceback, and never a result."""
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
        lines(capfd)
        shutil.rmtree(at_work.path)
        spare.rename(at_work.path)


def look_at(directory: JobDirectory) -> None:
    """Ask a directory all that runners, supervisors and observers ask."""
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
    """A file of one of these names with its own keys and any values."""
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


def test_a_damaged_leaderboard_is_written_anew(runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "found"
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(found)]) == 0
    whole = rows_of(found)
    for content in (b"\xff\xfe", b"", b"\0" * 100):
        (found / "tiny.tiny.csv").write_bytes(content)
        assert invoke(["leaderboard", str(found), "--check"]) == 1
        assert invoke(["leaderboard", str(found)]) == 0
        assert rows_of(found) == whole
        assert invoke(["leaderboard", str(found), "--check"]) == 0
    lines(capfd)
    (found / "tiny.tiny.csv").unlink()
    (found / "tiny.tiny.csv").mkdir()
    assert invoke(["leaderboard", str(found)]) == 2
    assert "cannot write to" in one_line(capfd.readouterr().err)


def test_a_job_whose_text_for_people_was_altered_is_written_anew(runs: Path, jobs: list[Job]) -> None:
    directory = JobDirectory.of(runs, jobs[2])
    text = (directory.path / "job.json").read_text()
    (directory.path / "job.json").write_text(text.replace('"settings": "default"', '"settings": "tuned"'))
    assert (directory.path / "job.json").read_text() != text
    assert Observer.below(runs)[0].jobs.count(jobs[2]) == 1  # its result says which job it was
    (directory.path / "result.json").unlink()
    _, (fault,) = Observer.below(runs)
    assert "it was altered" in fault
    directory.write_job(jobs[2])
    assert (directory.path / "job.json").read_text() == text


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
