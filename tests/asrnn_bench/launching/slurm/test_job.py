"""Jobs that the queue does not show: which are lost, and which only late."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from fake_slurm import FakeSlurm, finish

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import job as slurm_job
from asrnn_bench.launching.slurm import running as slurm
from asrnn_bench.launching.slurm.commands import QueueEntry, Task, UnansweredError
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock for the jobs that goes on by five seconds whenever it is read."""
    shown = [0.0]

    def tick() -> float:
        shown[0] += 5.0
        return shown[0]

    monkeypatch.setattr(slurm_job, "time", SimpleNamespace(monotonic=tick))
    return shown


def _hidden(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, act: Callable[[JobDirectory, int], object]) -> None:
    """Let jobs run that the queue does not list."""

    def read_queue(names: Sequence[str]) -> dict[Task, QueueEntry]:
        for directory, _ in fake.queue.values():
            act(directory, len(fake.submitted))
        return {}

    monkeypatch.setattr(slurm, "read_queue", read_queue)


@pytest.mark.usefixtures("clock")
def test_a_job_with_progress_is_not_lost_if_the_queue_does_not_list_it(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def act(directory: JobDirectory, count: int) -> object:
        nonlocal looks
        looks += 1
        if looks == 1:
            directory.claim()
        directory.write_progress({"attempt": 1, "seq": looks // 8})  # it writes less often than the queue is asked
        return looks > 200 and finish(directory)

    _hidden(fake, monkeypatch, act)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 1
    assert directories[0].state() == ("done", None)


def test_a_job_without_progress_is_lost_if_the_queue_does_not_list_it(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    lost_at: list[float] = []

    def act(directory: JobDirectory, count: int) -> object:
        if not directory.attempts():
            directory.claim()
        if count == 2 and not lost_at:
            lost_at.append(clock[0])
        return count == 2 and finish(directory)

    _hidden(fake, monkeypatch, act)
    run_slurm(directories[:1], OPTIONS, ASKED)
    assert len(fake.submitted) == 2
    assert 60.0 <= lost_at[0] <= 90.0


@pytest.mark.usefixtures("clock")
def test_a_submission_that_slurm_accepted_without_an_answer_is_sent_once(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, looks = fake.submit, 0

    def late(*given: Any) -> tuple[str, str]:
        name, _ = submit(*given)
        raise UnansweredError(name, "Socket timed out on send/recv operation")

    def read_queue(names: Sequence[str]) -> dict[Task, QueueEntry] | None:
        nonlocal looks
        looks += 1
        return fake.read_queue(names) if looks > 15 else {}

    fake.submit = late  # type: ignore[method-assign]
    monkeypatch.setattr(slurm, "read_queue", read_queue)
    fake.act = lambda directory, count: finish(directory) if looks > 18 else None
    said: list[str] = []
    run_slurm(directories[:1], OPTIONS, ASKED, say=said.append)
    assert len(fake.submitted) == 1
    assert said[0] == (
        "Slurm did not say whether it takes 1 job (Socket timed out on send/recv operation): its queue will"
    )


@pytest.mark.usefixtures("clock")
def test_a_submission_that_never_reached_the_queue_is_sent_again(
    directories: list[JobDirectory], fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = fake.submit

    def refuses_once(*given: Any) -> tuple[str, str]:
        if not fake.submitted:
            fake.submitted.append([])
            raise UnansweredError("asrnn-bench-gone", "Socket timed out on send/recv operation")
        return submit(*given)

    fake.submit = refuses_once  # type: ignore[method-assign]
    run_slurm(directories, OPTIONS, ASKED)
    assert [len(names) for names in fake.submitted] == [0, 5]
