"""Every command names a damaged result, job or table of a run, and the others keep their results."""

import csv
import shutil
from pathlib import Path

import pytest
from bench_support import done, one_line
from fault_support import rows_of, warnings_in
from malformed import NOT_FILES, malform_path, malformed

from asrnn_bench.cli import invoke
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import SCHEMA_VERSION, without_result
from asrnn_bench.results.publishing import bring_up_to_date
from asrnn_bench.watching.observer import Observer


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.faults)])
def test_a_damaged_result_is_left_out_with_a_warning(
    runs: Path, jobs: list[Job], tmp_path: Path, capfd: pytest.CaptureFixture[str], count: int
) -> None:
    """Case 14 of the faults: it is skipped, the others stay, and ``--strict`` gives exit status 1."""
    whole = tmp_path / "whole"
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(whole), "--strict"]) == 0
    assert warnings_in(capfd) == []
    records = [done(job, 0.5) for job in jobs]
    target = JobDirectory.of(runs, jobs[0]).path / "result.json"
    text = target.read_bytes()
    foreign = records[1].text().encode()
    newer = text.replace(f'"schema_version": {SCHEMA_VERSION}'.encode(), b'"schema_version": 99')
    for number, content in enumerate([b"", b"{}", text[:-9], foreign, newer, *malformed(text, count, seed=count)]):
        target.unlink()
        target.write_bytes(content)
        found = tmp_path / f"found-{number}"
        status = invoke(["leaderboard", str(runs), "--leaderboards", str(found), "--strict"])
        warnings = warnings_in(capfd)
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
@pytest.mark.parametrize("how", NOT_FILES)
def test_a_folder_pipe_or_device_in_a_job_directory_harms_no_other_job(
    runs: Path, jobs: list[Job], tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    target = JobDirectory.of(runs, jobs[0]).path / name
    malform_path(target, how)
    assert invoke(["status", str(runs)]) == 0
    assert invoke(["leaderboard", str(runs), "--leaderboards", str(tmp_path / "found")]) == 0
    warnings_in(capfd)
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
    warnings_in(capfd)
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
