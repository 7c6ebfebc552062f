"""A worker in a frozen control group cannot be killed, as one that waits for a dead file server: it costs its slot."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fault_support import CORE, plan_jobs, suite_text, write
from waiting import wait_until

from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.local import run_local
from asrnn_bench.launching.slots import Slot
from asrnn_bench.supervising import supervisor as supervision

pytestmark = [pytest.mark.slow, pytest.mark.faults]

FREEZER = Path("/sys/fs/cgroup/freezer")  # of the first version: the second one lets frozen processes be killed


@pytest.fixture
def freezer() -> Iterator[Path]:
    group = FREEZER / f"asrnn-bench-{os.getpid()}"
    if not FREEZER.is_dir():
        pytest.skip("there is no freezer of the first version of control groups")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"this process may not make a control group: {error}")
    yield group
    with suppress(OSError):
        (group / "freezer.state").write_text("THAWED")
    wait_until(lambda: not (group / "cgroup.procs").read_text().strip(), "the end of what was frozen")
    group.rmdir()


def test_a_frozen_worker_costs_its_slot_and_no_other_result(
    freezer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LONGEST_DEATH_SECONDS", 2.0)
    jobs = plan_jobs(tmp_path, suite_text(60, models=("antisymmetric", "rnn")), seeds=[0, 1])
    directories = [write(tmp_path / "runs", job) for job in jobs if job.model.name in ("antisymmetric", "rnn")]
    frozen: list[int] = []
    said: list[str] = []

    def freeze(stopping: str = "") -> None:
        pid = directories[0].progress().get("pid")
        if pid and not frozen and directories[0].saved_step() > 0:
            frozen.append(pid)
            (freezer / "cgroup.procs").write_text(str(pid))
            (freezer / "freezer.state").write_text("FROZEN")

    slots = [Slot(f"slot {number}", tuple(CORE.items())) for number in range(2)]
    options = Options(checkpoint_steps=5, hang_seconds=8.0, grace_seconds=0.5, loggers=())
    began = time.monotonic()
    run_local(directories, slots, options, freeze, said.append)
    assert frozen
    assert [each.is_done() for each in directories] == [False, True, True, True]
    assert "cannot be killed: its place is given up, 1 of 2 are left" in said[0]
    state, reason = directories[0].state()
    assert state == "failed"
    assert "could not be killed" in str(reason)
    assert time.monotonic() - began < 280  # it came to its end by itself
