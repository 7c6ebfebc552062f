"""Cases 10 and 11: a disk that is full, or cannot be written to, fails a job with the reason and nothing else."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fault_support import Bench, endings, kinds, outcome, plan_jobs, suite_text, write
from rich.console import Console

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.runner import execute
from asrnn_bench.worker.checkpoints import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return filler


def _one_on_another_disk(disk: Path, folder: Path) -> tuple[Plan, Folders, JobDirectory]:
    """A run of four jobs, and the directory of the last of them, which lies on another file system."""
    suite = folder / "tiny.toml"
    suite.write_text(suite_text(30, models=("antisymmetric", "rnn")))
    plan = make_plan(load_suite(str(suite)), Request())
    places = Folders(folder / "runs", folder / "leaderboards")
    unlucky = JobDirectory.of(places.output, plan.jobs[-1])
    unlucky.path.parent.parent.mkdir(parents=True)
    unlucky.path.parent.symlink_to(disk)
    unlucky.write_job(plan.jobs[-1])
    return plan, places, unlucky


def test_a_disk_that_fills_up_fails_the_job_and_keeps_its_checkpoint(
    small_disk: Path, tmp_path: Path, bench: Bench
) -> None:
    job = plan_jobs(tmp_path, suite_text(300))[-1]
    clean, directory = write(tmp_path / "clean", job), write(small_disk, job)
    options = Options(checkpoint_steps=5, loggers=())
    bench.run(clean, options)
    filler: list[Path] = []

    def once_saved(_: object) -> None:
        if not filler and directory.saved_step() > 10:
            filler.append(_fill(small_disk))

    supervisor = bench.run(directory, options, once_saved)
    said = supervisor.last_words or str(directory.state()[1])
    assert "no space left" in said.lower()
    assert not directory.is_done()
    assert not list(directory.path.glob("result*"))
    found = Checkpoints(directory.checkpoints, job.key).newest()
    assert found.step > 10
    filler[0].unlink()
    assert not directory.is_given_up(options.retries)  # room was made: the next run goes on
    bench.run(directory, options)
    assert endings(directory)[-1]["resumed_from"].startswith("step ")
    assert outcome(directory) == outcome(clean)


def test_a_full_disk_stops_neither_the_runner_nor_the_other_jobs(small_disk: Path, tmp_path: Path) -> None:
    plan, places, unlucky = _one_on_another_disk(small_disk, tmp_path)
    _fill(small_disk)
    outcome = execute(plan, places, LaunchSettings(options=Options(loggers=())), Console(quiet=True))
    assert [record.status for record in outcome.records] == ["done", "done", "done", "failed"]
    assert "no space left" in str(outcome.records[-1].reason).lower()
    assert not list(unlucky.path.glob("result*"))


def test_a_full_folder_for_temporary_files_is_no_reason_to_fail(small_disk: Path, tmp_path: Path, bench: Bench) -> None:
    job = plan_jobs(tmp_path, suite_text(20))[-1]
    directory = write(tmp_path / "runs", job)
    _fill(small_disk)
    bench.run(directory, Options(checkpoint_steps=5, loggers=()), TMPDIR=str(small_disk))
    assert kinds(directory) == ["done"]


def test_a_folder_that_cannot_be_written_is_an_error_at_once(small_disk: Path, tmp_path: Path) -> None:
    plan, places, unlucky = _one_on_another_disk(small_disk, tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outcome = execute(plan, places, LaunchSettings(options=Options(loggers=())), Console(quiet=True))
    assert [record.status for record in outcome.records] == ["done", "done", "done", "failed"]
    assert "Read-only file system" in str(outcome.records[-1].reason)
    assert not list(unlucky.path.glob("attempts/*"))
