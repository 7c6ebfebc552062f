"""Cases 8 and 9: two runners in one folder, and an attempt that wakes up when another has done its work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench_support import TINY
from fault_support import CORE, Bench, plan_jobs, suite_text, write
from runner_support import directories, runner
from waiting import wait_until

from asrnn_bench.jobs.options import Options

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]

SEEDS = ",".join(map(str, range(7)))
WORDS = ("--suite", "tiny.toml", "--seeds", SEEDS, "--logger", "none")


def test_a_second_runner_is_refused_and_with_join_shares_the_work(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("max_steps = 4", "max_steps = 40"))
    with runner(tmp_path, *WORDS) as first:
        wait_until(lambda: (tmp_path / "runs" / ".holder").exists(), "the first runner")
        with runner(tmp_path, *WORDS) as refused:
            said, _ = refused.communicate(timeout=60)
            assert refused.returncode == 2
            assert f"process {first.pid} on" in said
            assert "help it with --join" in said
        with runner(tmp_path, *WORDS, "--join") as second:
            said_by_second, _ = second.communicate(timeout=240)
            assert second.returncode == 0, said_by_second
        said_by_first, _ = first.communicate(timeout=240)
        assert first.returncode == 0, said_by_first
    found = directories(tmp_path)
    assert len(found) == 21
    assert all(each.is_done() for each in found)
    assert {len(each.attempts()) for each in found} == {1}  # no job was done twice
    claims = [json.loads((each.attempts()[0].path / "claim.json").read_text())["pid"] for each in found]
    assert set(claims) == {first.pid, second.pid}


def test_an_attempt_that_wakes_up_after_another_has_finished_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    job = plan_jobs(tmp_path, suite_text(600))[-1]
    directory = write(tmp_path / "runs", job)
    options = Options(checkpoint_steps=10, hang_seconds=8.0, loggers=())
    sleeper = subprocess.Popen(
        [sys.executable, "-m", "asrnn_bench.worker", str(directory.path)],
        env={**os.environ, **CORE, **options.environment()},
    )
    try:
        wait_until(lambda: directory.saved_step() > 0, "a checkpoint", 120)
        sleeper.send_signal(signal.SIGSTOP)
        claim = directory.attempts()[0].path / "claim.json"
        claim.write_text(json.dumps({**json.loads(claim.read_text()), "host": "a-host-that-cannot-be-asked"}))
        began = time.monotonic()
        bench.run(directory, options)  # waits, as the job is in another's hands, until that shows no life
        assert time.monotonic() - began >= options.hang_seconds
        result = (directory.path / "result.json").read_bytes()
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.wait(120) == 76
    finally:
        sleeper.kill()
        sleeper.wait()
    assert (directory.path / "result.json").read_bytes() == result
    assert directory.result().attempt == 2  # type: ignore[union-attr]
    first, second = (json.loads((each.path / "exit.json").read_text()) for each in directory.attempts())
    assert (first["kind"], second["kind"]) == ("superseded", "done")
    assert second["resumed_from"].startswith("step ")
