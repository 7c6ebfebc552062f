"""The ranks of a job on several nodes: what srun is told, and how its ranks are asked to save and killed."""

import os
import signal
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from asrnn.errors import UsageError
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import ranks as slurm_ranks
from asrnn_bench.launching.slurm.ranks import SrunRanks, rank_command

NOTES_SIGNALS = """
import signal, sys, time
def note(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write(f"{signal.Signals(number).name} ")
    if number == signal.SIGTERM:
        sys.exit(3)
for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, note)
with open(sys.argv[1], "a") as file:
    file.write("up ")
while True:
    time.sleep(0.05)
"""


def test_ranks_on_several_nodes_are_started_within_the_job_s_own_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    options = Options(devices_per_job=2, nodes_per_job=3)
    with pytest.raises(UsageError, match="runs in Slurm only"):
        rank_command(options)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    words = rank_command(options)
    assert {"--jobid=9", "--overlap", "--nodes=3", "--ntasks=6", "--ntasks-per-node=2"} <= set(words)
    assert words[-4:] == ["env", "-u", "ASRNN_BENCH_RUNNER", "ASRNN_BENCH_SLURM_RANKS=1"]


def test_ranks_are_asked_by_a_signal_that_srun_forwards_and_killed_by_srun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setattr(slurm_ranks, "rank_command", lambda options: [])
    words = [sys.executable, "-c", NOTES_SIGNALS, str(said)]
    ranks = SrunRanks(Options(nodes_per_job=2), words, os.environ, tmp_path / "log")
    wait_until(lambda: said.exists() and said.read_text() == "up ", "the process")
    ranks.ask(signal.SIGTERM)
    wait_until(lambda: said.read_text() == "up SIGUSR2 ", "the signal")
    ranks.end()
    assert ranks.poll() == 3  # by itself, so that it could end its ranks
    assert said.read_text() == "up SIGUSR2 SIGTERM "
