"""The submissions of the Slurm launcher: their folders, and what sbatch can answer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.slurm.commands import RefusedError, UnansweredError
from asrnn_bench.launching.slurm.launcher import SlurmLauncher
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import Submissions
from asrnn_bench.records.job import Job

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


def test_what_is_submitted_is_what_a_dry_run_shows(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1")
    monkeypatch.setenv("SLURM_CONF", "somewhere")
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")  # would win over the name by which jobs are found again
    monkeypatch.setenv("SBATCH_PARTITION", "other")  # would win over what the run asks for
    monkeypatch.setenv("SBATCH_ACCOUNT", "us")
    folder = sbatch('cp "$2" $(dirname $0)/script; env >$(dirname $0)/env; echo your site says hello; echo "7;one"')
    launcher = SlurmLauncher(LaunchSettings("slurm", options=OPTIONS, slurm_options=("partition=gpu",)), 1)
    described = launcher.describe(directories, OPTIONS)
    name, number = Submissions.of(directories[0]).submit(directories, OPTIONS, ASKED, 1)
    assert number == "7"
    script = "".join(f"\n  {line}" for line in (folder / "script").read_text().splitlines())
    assert described.replace("asrnn-bench-...", name) == f"1 submission of 5 jobs:{script}"
    variables = (folder / "env").read_text()
    assert "SLURM_CONF=somewhere" in variables
    assert "SBATCH_ACCOUNT=us" in variables
    assert not any(name in variables for name in ("SLURM_MEM_PER_CPU", "SBATCH_JOB_NAME", "SBATCH_PARTITION"))
    assert Submissions.of(directories[0]).tasks() == {d.path: [(name, i)] for i, d in enumerate(directories)}


@pytest.mark.parametrize(("index", "words"), [(None, ()), ("3", ("gres=gpu:1",))])
def test_the_script_starts_each_array_task_with_its_own_job(
    directories: list[JobDirectory],
    sbatch: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    index: str | None,
    words: tuple[str, ...],
) -> None:
    folder = sbatch("echo 7")
    (folder / "srun").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done >$(dirname $0)/said\n')
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    if index is not None:
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", index)
    submissions = Submissions.of(directories[0])
    name, _ = submissions.submit(directories, OPTIONS, SbatchOptions.parse(words), 2)
    subprocess.run(["bash", "-eu", str(submissions.folder / name / "batch.sh")], check=True)
    said = (folder / "said").read_text().splitlines()
    assert said[:4] == ["--unbuffered", "--nodes=1", "--ntasks=1", "env"]
    assert "OMP_NUM_THREADS=2" in said
    assert said[-1] == str(directories[int(index or 0)].path)
    assert ("--gpus" in said) == bool(words)
    assert Options.model_validate_json((submissions.folder / name / "options.json").read_text()) == OPTIONS


def test_a_refusal_of_sbatch_is_one_line(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    sbatch("echo 'sbatch: error: no such partition\nsbatch: error: Batch job submission failed' >&2; exit 1")
    with pytest.raises(RefusedError, match="^no such partition; Batch job submission failed$"):
        Submissions.of(directories[0]).submit(directories, OPTIONS, ASKED, 1)
    assert not list(Submissions.of(directories[0]).folder.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "program",
    [
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received' >&2; exit 1",
        "echo 'your site says hello'",
    ],
)
def test_a_submission_without_an_answer_keeps_its_folder(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], program: str
) -> None:
    sbatch(program)
    with pytest.raises(UnansweredError) as caught:
        Submissions.of(directories[0]).submit(directories, OPTIONS, ASKED, 1)
    folder = Submissions.of(directories[0]).folder / caught.value.name
    assert {file.name for file in folder.iterdir()} == {"batch.sh", "jobs.txt", "options.json"}


def test_an_output_folder_with_a_pattern_of_slurm_is_refused(tmp_path: Path, jobs: list[Job]) -> None:
    with pytest.raises(UsageError, match="name an --output without '%'"):
        Submissions.of(JobDirectory.of(tmp_path / "100%j", jobs[0]))
