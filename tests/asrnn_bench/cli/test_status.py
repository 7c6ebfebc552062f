"""``asrnn-bench status`` reads directories as workers leave them."""

import shutil
from pathlib import Path

import pytest
from bench_support import done

from asrnn_bench.cli import invoke, status
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.records.job import Job


@pytest.fixture
def run(tmp_path: Path, jobs: list[Job]) -> Path:
    """A folder of a done, a failed, a twice tried and a waiting job."""
    directories = [JobDirectory.of(tmp_path / "run", job) for job in jobs[:4]]
    for directory, job in zip(directories, jobs, strict=False):
        directory.write_job(job)
    directories[0].publish(done(jobs[0], 0.25), directories[0].claim())
    directories[1].claim().write_end(End(70, "exception", "ValueError: no"))
    for reason in ("asked to stop", "killed by signal 9"):
        directories[2].claim().write_end(End(-9, "killed", reason))
    directories[3].checkpoints.mkdir()
    (directories[3].checkpoints / "step-00000001.ckpt").write_bytes(b"x" * (3 << 20))
    return tmp_path / "run"


def test_status_shows_states_disk_space_and_repeated_attempts(
    run: Path, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "1 of 4 jobs done, 1 waiting, 2 failed" in said
    assert "25.0%" in said
    (disk,) = [line for line in said.splitlines() if line.startswith("disk: ")]
    assert disk.endswith("of which checkpoints 3.0 MiB")
    assert "1 jobs took more than one attempt; lost attempts: 2 killed" in said
    assert f"{jobs[2].label}: 2 attempts: killed (2); the last: killed by signal 9" in said
    assert f"failed   {jobs[1].label}: ValueError: no" in said


def test_on_a_terminal_the_lines_are_a_few(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MOST_LINES", 1)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then
    assert invoke(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "and 1 more failed or diverged; all: asrnn-bench status" in said


def test_a_damaged_job_is_a_warning(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(run.glob("*/*/*/*/ckpt")).parent / "job.json"
    file.write_text("{")
    assert invoke(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "1 of 3 jobs done" in said
    assert f"warning: {file}" in said


def test_a_folder_without_jobs_gives_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["status", str(tmp_path)]) == 2
    assert "there are no jobs below" in capsys.readouterr().err


def test_a_leaderboard_reads_a_run_once(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = tmp_path / "boards"
    words = ["leaderboard", str(run), "--leaderboards", str(boards)]
    assert invoke(words) == 0
    before = {path: path.read_bytes() for path in boards.rglob("*") if path.is_file()}
    assert len([path for path in before if path.suffix == ".json"]) == 3
    (result,) = run.glob("*/*/*/*/result.json")
    read: list[Path] = []
    look = JobDirectory.result
    monkeypatch.setattr(JobDirectory, "result", lambda self: read.append(self.path) or look(self))
    assert invoke(words) == 0
    assert result.parent not in read  # its record stands
    assert {path: path.read_bytes() for path in boards.rglob("*") if path.is_file()} == before
    assert invoke([*words, "--strict"]) == 0
    assert result.parent in read
    shutil.rmtree(run)
    assert invoke(["leaderboard", str(boards), "--check"]) == 0
    assert "every leaderboard is what its records give" in capsys.readouterr().out
