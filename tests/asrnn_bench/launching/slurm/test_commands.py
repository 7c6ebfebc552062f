"""Test what Slurm's commands are asked, and how their output is read."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import commands as slurm_commands
from asrnn_bench.launching.slurm.commands import (
    QueueEntry,
    RefusedError,
    UnansweredError,
    command_environment,
    read_queue,
)
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


def test_without_the_commands_of_slurm_the_run_is_refused(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="there is no 'sbatch' here: start the run on a login node"):
        run_slurm(directories, OPTIONS, ASKED)


def test_the_queue_is_read_with_and_without_arrays_and_the_banner_is_skipped(
    sbatch: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sbatch("true")
    monkeypatch.setenv("SQUEUE_PARTITION", "mine")  # would hide the others
    monkeypatch.setenv("SBATCH_CLUSTERS", "one")  # is where the jobs are
    (folder / "squeue").write_text(
        "#!/bin/sh\necho \"$@\" >$(dirname $0)/said; env >>$(dirname $0)/said\necho 'CLUSTER: one'\n"
        "echo '*** maintenance | on | Monday ***'\n"
        "echo 'a|3|7_3|PENDING|Nodes are DOWN | or so'\necho 'b|N/A|8|RUNNING|None'\n"
    )
    assert read_queue(["a", "b"]) == {
        ("a", 3): QueueEntry("7_3", "PENDING", "Nodes are DOWN | or so"),
        ("b", 0): QueueEntry("8", "RUNNING", "None"),
    }
    said = (folder / "said").read_text()
    assert said.startswith("--all ")
    assert "SLURM_CLUSTERS=one" in said
    assert "SQUEUE_" not in said
    (folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert read_queue(["a"]) is None
    assert read_queue([]) == {}


def test_a_slurm_job_that_runs_the_runner_is_hidden_from_the_commands() -> None:
    assert command_environment({"SLURM_JOB_ID": "9", "HOME": "/home/me"}) == {"HOME": "/home/me"}


def test_sbatch_gets_no_variable_for_gpus_beside_the_option_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def run(words: list[str], seconds: float, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        seen.update(variables)
        return subprocess.CompletedProcess(words, 0, "7\n", "")

    for name in ("SBATCH_GRES", "SBATCH_GPUS", "SBATCH_MEM_PER_NODE", "SBATCH_TIMELIMIT", "SBATCH_ACCOUNT"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(slurm_commands, "_run", run)
    assert slurm_commands.submit("name", tmp_path / "batch.sh", {"gpus-per-node"}) == "7"
    assert [name for name in seen if name.startswith("SBATCH_")] == ["SBATCH_ACCOUNT"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n", RefusedError),
        (b"", UnansweredError),
        (None, UnansweredError),
    ],
)
def test_a_full_queue_refuses_a_submission_and_is_not_a_missing_answer(
    said: bytes | None, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str], seconds: float, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        raise subprocess.TimeoutExpired(words, seconds, stderr=said)

    monkeypatch.setattr(slurm_commands, "_run", run)
    with pytest.raises(kind):
        slurm_commands.submit("name", tmp_path / "batch.sh", set())
