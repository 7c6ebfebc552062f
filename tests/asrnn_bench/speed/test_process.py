"""The child process: its environment, and the message where it ends without an answer."""

import os

import pytest

from asrnn_bench.jobs.handover import KEEP_BUFFERS
from asrnn_bench.speed import process
from asrnn_bench.speed.process import ChildError, ask, child_environment


def test_a_child_has_its_threads_from_the_start_and_the_allocator_of_a_job() -> None:
    own = {"PATH": "/bin", "MALLOC_TRIM_THRESHOLD_": "1", "OMP_NUM_THREADS": "7"}
    found = child_environment(own, 2)
    assert found == {
        "PATH": "/bin",
        "MALLOC_MMAP_THRESHOLD_": KEEP_BUFFERS["MALLOC_MMAP_THRESHOLD_"],
        "MALLOC_TRIM_THRESHOLD_": "1",  # set by the user
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
    }


def test_a_child_may_have_the_allocator_s_own_settings() -> None:
    found = child_environment({"PATH": "/bin", "MALLOC_TRIM_THRESHOLD_": "1"}, 2, as_in_jobs=False)
    assert [name for name in found if name.startswith("MALLOC")] == []


def test_a_child_describes_the_machine_with_the_threads_it_was_given() -> None:
    answer = ask("describe", 2, {"on_cpu": True})
    assert answer["device"] == "cpu"
    assert answer["environment"]["threads"] == 2


def test_a_failing_child_is_reported_by_its_last_line() -> None:
    with pytest.raises(ChildError, match=r"the process ended with exit status 1: KeyError: 'no such question'"):
        ask("no such question", 1, {})


def test_a_killed_child_is_distinguished_from_a_failing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os; os.kill(os.getpid(), 9)"
    monkeypatch.setattr(process, "_COMMAND", ["-c", program])
    with pytest.raises(ChildError, match=r"ended by signal 9, as Linux does when memory runs out"):
        ask("time", 1, {})


def test_no_child_outlives_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os, time; print('{\"round\": %d}' % os.getpid(), flush=True); time.sleep(600)"
    monkeypatch.setattr(process, "_COMMAND", ["-c", program])
    seen: list[int] = []

    def interrupt(number: int) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask("time", 1, {}, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
