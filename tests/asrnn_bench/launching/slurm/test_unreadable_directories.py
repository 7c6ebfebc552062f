"""Job directories that cannot be read for a while, or at all, while the Slurm launcher watches."""

import errno
import os
from typing import Any

import pytest
from fake_slurm import FakeSlurm, finish, lose

from asrnn.errors import UsageError
from asrnn_bench.files import disk_errors
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import running as slurm
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import Submissions

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("name", ["is_done", "progress", "attempts"])
def test_a_directory_that_cannot_be_read_for_a_while_is_looked_at_again(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    method, failed, in_job = getattr(JobDirectory, name), 0, False

    def fails(directory: JobDirectory) -> Any:
        nonlocal failed
        if fake.submitted and not in_job and failed < 4:
            failed += 1
            raise OSError(number, os.strerror(number))
        return method(directory)

    def act(directory: JobDirectory, count: int) -> str:
        nonlocal in_job
        in_job = True
        ended = lose(directory) if count == 1 else finish(directory)
        in_job = False
        return ended

    fake.act = act
    said: list[str] = []
    monkeypatch.setattr(JobDirectory, name, fails)
    monkeypatch.setattr(slurm, "REFUSED_SECONDS", 0.0)
    run_slurm(directories[:1], OPTIONS, ASKED, say=said.append)
    assert failed == 4
    assert directories[0].state() == ("done", None)
    assert sum(os.strerror(number) in line for line in said) == 1


@pytest.mark.parametrize("name", ["is_done", "attempts"])
@pytest.mark.parametrize(("number", "hang_seconds"), [(errno.EACCES, 600.0), (errno.EIO, 0.05)])
def test_a_directory_that_stays_unreadable_stops_no_other_job(
    directories: list[JobDirectory],
    fake: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    hang_seconds: float,
) -> None:
    method = getattr(JobDirectory, name)

    def fails(directory: JobDirectory) -> Any:
        if directory == directories[0]:
            raise OSError(number, os.strerror(number))
        return method(directory)

    monkeypatch.setattr(JobDirectory, name, fails)
    words = run_slurm(directories, OPTIONS.model_copy(update={"hang_seconds": hang_seconds}), ASKED)
    assert [names[-4:] for names in fake.submitted] == [[directory.path.name for directory in directories[1:]]]
    assert [directory.state() for directory in directories[1:]] == [("done", None)] * 4
    assert list(words) == directories[:1]
    assert f"its directory cannot be read: [Errno {number}]" in words[directories[0]]


def test_an_unreadable_folder_of_submissions_is_read_again_and_then_ends_the_run(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, fails = Submissions.tasks, 1

    def ask(submissions: Submissions) -> Any:
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return tasks(submissions)

    monkeypatch.setattr(Submissions, "tasks", ask)
    monkeypatch.setattr(disk_errors, "WAIT_SECONDS", 0.01)
    run_slurm(directories, OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    fails = 1000
    with pytest.raises(UsageError, match="cannot be read: Input/output error; start the run again"):
        run_slurm(directories, OPTIONS, ASKED)
