"""The benchmark of scale: what it measures, not how much."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from asrnn_bench.cli import invoke
from asrnn_bench.own_cost.pool_use import Sampler
from asrnn_bench.own_cost.synthetic_run import STATES, plan_of, write_run, write_suite
from asrnn_bench.watching.observer import Observer


def test_places_are_busy_while_workers_live() -> None:
    sampler = Sampler()
    # One sample per second: first no worker, then two, one, and none again.
    sampler.samples = [(float(at), count) for at, count in enumerate([0, 0, 2, 2, 1, 0, 0])]
    assert sampler.busy(from_first=True) == pytest.approx(5 / 6)
    assert sampler.busy(from_first=False) == pytest.approx(5 / 12)
    assert Sampler().busy(from_first=True) == 0.0


def test_a_synthetic_run_is_in_every_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite, run = tmp_path / "suite.toml", tmp_path / "run"
    count = write_suite(suite, 1)
    write_run(suite, run)
    observer, faults = Observer.below(run)
    assert (len(observer.jobs), faults) == (count, [])
    assert {job.key for job in observer.jobs} == {job.key for job in plan_of(suite).jobs}
    states = Counter(view.state for view in observer.views)
    assert set(states) == {"done", "diverged", "failed", "running", "waiting"}
    # Binomial, of about 135 jobs: five standard deviations
    share = STATES.count("done") / len(STATES)
    assert abs(states["done"] - share * count) < 5 * (count * share * (1 - share)) ** 0.5
    assert invoke(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "preempted" in said
    assert "of which checkpoints 0 KiB" not in said


@pytest.mark.slow
def test_the_command_prints_a_row_of_numbers(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "asrnn_bench.own_cost.scale", "--jobs", "1", "--folder", str(tmp_path)]
    found = subprocess.run([*words, "--only", "plan"], capture_output=True, text=True, timeout=250, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    first, _, *rows = found.stdout.splitlines()
    assert "synthetic jobs, written in" in first
    for row, what in zip(rows, ["plan and write all directories", "plan and find what is left of a run"], strict=True):
        assert row.startswith(what)
        wall, cpu, memory, left, *_ = row.removeprefix(what).split()
        assert min(map(float, (wall, cpu, memory, left))) > 0
    assert list(tmp_path.iterdir()) == []
