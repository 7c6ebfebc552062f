"""One process at a time holds a folder, also where the file system has no ``flock``."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import filelock
import pytest
from bench_support import done
from rich.console import Console

from asrnn_bench import runner
from asrnn_bench.files import folders, locking
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.choice import LAUNCHERS
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.preparing import Folders
from asrnn_bench.records.job import Job
from asrnn_bench.results.publishing import bring_up_to_date

REFUSALS = [OSError(each, os.strerror(each)) for each in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)]


def _refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any) -> None:
        raise error

    if isinstance(error, OSError):
        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(filelock.FileLock, "acquire", refuse)


@pytest.mark.parametrize("error", [*REFUSALS, NotImplementedError("use SoftFileLock instead")], ids=str)
def test_a_file_system_without_flock_takes_leaderboards_all_the_same(
    error: Exception, tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(monkeypatch, error)
    published = bring_up_to_date(tmp_path, [done(jobs[0], 0.5)])
    assert (len(published.records), published.faults) == (1, [])
    assert not (tmp_path / ".lock.marker").exists()


@pytest.mark.parametrize("error", [*REFUSALS, NotImplementedError("use SoftFileLock instead")], ids=str)
def test_a_file_system_without_flock_costs_a_run_one_warning(
    error: Exception, tmp_path: Path, tiny_suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    _refuse(monkeypatch, error)
    monkeypatch.setitem(LAUNCHERS, "idle", "fake_launchers:IdleLauncher")
    monkeypatch.setattr(runner, "admit", lambda waiting, *_: [directory for directory, _ in waiting])
    places = Folders(tmp_path / "runs", tmp_path / "leaderboards")
    plan = make_plan(load_suite(str(tiny_suite)), Request())
    outcome = runner.execute(
        plan, places, LaunchSettings("idle", options=Options(loggers=())), Console(highlight=False)
    )
    assert len(outcome.records) == len(plan.jobs)
    assert capsys.readouterr().out.count("cannot be locked") == 1
    assert not (places.output / ".holder").exists()


def test_a_marker_keeps_a_second_process_out_until_it_is_gone(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with locking.hold_marker(marker, 0):
        with pytest.raises(filelock.Timeout), locking.hold_marker(marker, 0.2):
            pass
        assert marker.exists()
    assert not marker.exists()
    with locking.hold_marker(marker, 0):
        pass


def test_a_marker_that_its_holder_left_is_removed_and_one_that_moves_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    os.utime(marker, (0, 2**33))  # a clock that is far ahead
    with locking.hold_marker(marker, 60, stale_seconds=0.3):
        assert list(tmp_path.iterdir()) == [marker]
    monkeypatch.setattr(locking, "TOUCH_SECONDS", 0.05)
    with (
        locking.hold_marker(marker, 0),
        pytest.raises(filelock.Timeout),
        locking.hold_marker(marker, 1.0, stale_seconds=0.5),
    ):
        pass


def test_a_marker_that_changed_hands_is_put_back(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.touch()
    before = marker.stat()
    locking._remove_stale(marker, (before.st_ino, before.st_mtime_ns - 1))
    assert marker.stat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [marker]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ESTALE, errno.EIO], ids=os.strerror)
def test_a_folder_that_another_holds_is_not_held_twice_when_its_lock_cannot_be_opened(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with locking.hold(tmp_path, 0):
        monkeypatch.setattr(locking, "_try_flock", refuse)
        with pytest.raises(OSError, match=os.strerror(number)), locking.hold(tmp_path, 0):
            pytest.fail("two processes hold the folder")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_run_goes_on_where_its_folder_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _refuse(monkeypatch, OSError(errno.EIO, os.strerror(errno.EIO)))
    with folders.alone(tmp_path, Console(highlight=False), join=False):
        pass
    assert "cannot be locked (Input/output error); start no second run in it" in capsys.readouterr().out


def test_a_lock_file_can_be_opened_by_the_group_that_shares_its_folder(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with locking.hold(tmp_path, 0):
            assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o664
    finally:
        os.umask(before)


def test_a_marker_that_is_anothers_by_now_stays(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with locking.hold_marker(marker, 0):
        marker.rename(tmp_path / "ours")  # so that the inode is not given again
        marker.touch()
    assert marker.exists()
