"""The submissions of the Slurm launcher: what a batch script holds, and what sbatch can answer."""

import os
import pickletools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.description import describe_slurm, sbatch_lines
from asrnn_bench.launching.slurm.folder import name_task_files
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.launching.slurm.submission import RefusedError, Submissions, UnansweredError, script_parameters
from asrnn_bench.records.job import Job

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


def _parameters(options: Options, *words: str, threads: int = 1) -> dict[str, object]:
    return dict(script_parameters("name", 3, options, SbatchOptions.parse(words), threads)["additional_parameters"])


def test_memory_is_always_asked_for() -> None:
    assert _parameters(Options())["mem"] == "4G"
    assert _parameters(Options(devices_per_job=2))["mem"] == "8G"
    assert _parameters(Options(), "mem_per_cpu=1G") | {"mem": "none"} == _parameters(Options()) | {
        "mem": "none",
        "mem-per-cpu": "1G",
    }


def test_processors_are_those_of_a_job_s_threads_and_processes() -> None:
    alone, pair = _parameters(Options(), threads=3), _parameters(Options(devices_per_job=2), threads=3)
    spread = _parameters(Options(devices_per_job=2, nodes_per_job=2), threads=3)
    assert (alone["cpus-per-task"], alone["ntasks-per-node"]) == (3, 1)
    assert (pair["cpus-per-task"], pair["ntasks-per-node"]) == (6, 1)
    assert (spread["cpus-per-task"], spread["ntasks-per-node"]) == (3, 2)


def test_a_step_is_handed_the_gpus_that_a_job_was_given_unasked() -> None:
    setup = script_parameters("name", 3, OPTIONS, SbatchOptions({"exclusive": ""}), 1)["setup"]
    for given, expected in ((None, ""), ("0", ""), ("2", "2")):
        environment = {} if given is None else {"SLURM_GPUS_ON_NODE": given}
        script = "\n".join([*setup, 'echo "$SLURM_GPUS_PER_NODE"'])
        ended = subprocess.run(
            ["bash", "-eu", "-c", script],
            env=environment | {"SLURM_CPUS_PER_TASK": "1", "SLURM_GPUS_PER_NODE": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout.strip() == expected
    asked = script_parameters("name", 3, OPTIONS, SbatchOptions({"gres": "gpu:2"}), 1)["setup"]
    assert not any("SLURM_GPUS" in line for line in asked)


def test_a_dry_run_needs_neither_slurm_nor_submitit(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("asrnn_bench.launching.slurm.commands.LONGEST_ARRAY", 2)
    text = describe_slurm(directories, OPTIONS, SbatchOptions.parse(["partition=gpu", "comment=it's"]), 1)
    assert "2 submissions of 2 jobs:\n" in text
    assert "1 submission of 1 job:\n" in text
    assert "  #SBATCH --partition=gpu\n" in text
    assert "  #SBATCH --array=0-1%2\n" in text
    assert "  #SBATCH --comment='it'\"'\"'s'\n" in text
    assert "  #SBATCH --requeue\n" in text
    assert "--signal=USR2@120" in text
    assert describe_slurm([], OPTIONS, ASKED, 1) == "nothing to submit to Slurm"


def test_what_is_submitted_is_what_a_dry_run_shows(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1")
    monkeypatch.setenv("SLURM_CONF", "somewhere")
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")  # would win over the name by which jobs are found again
    monkeypatch.setenv("SBATCH_PARTITION", "other")  # would win over what the run asks for
    monkeypatch.setenv("SBATCH_ACCOUNT", "us")
    folder = sbatch('cp "$1" $(dirname $0)/script; env >$(dirname $0)/env; echo Submitted batch job 7')
    name, number = Submissions.of(directories[0]).submit(directories, OPTIONS, ASKED, 1)
    assert number == "7"
    script = (folder / "script").read_text().splitlines()
    lines = [line for line in script if line.startswith("#SBATCH") and "--output" not in line and "--error" not in line]
    assert lines == sbatch_lines(script_parameters(name, 5, OPTIONS, ASKED, 1), 5)
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK" in script
    variables = (folder / "env").read_text()
    assert "SLURM_CONF=somewhere" in variables
    assert "SBATCH_ACCOUNT=us" in variables
    assert not any(name in variables for name in ("SLURM_MEM_PER_CPU", "SBATCH_JOB_NAME", "SBATCH_PARTITION"))
    assert os.environ["SLURM_MEM_PER_CPU"] == "1"
    submission = Submissions.of(directories[0]).folder / name
    described = describe_slurm(directories, OPTIONS, ASKED, 1).replace("asrnn-bench-...", name)
    for line in (line.strip() for line in described.splitlines()[1:-1]):
        assert line in script
    assert Submissions.of(directories[0]).tasks() == {d.path: [(name, i)] for i, d in enumerate(directories)}
    assert _pickled(submission / "7_0_submitted.pkl") == {
        "submitit.core.utils DelayedSubmission",
        "asrnn_bench.launching.slurm.task run_task",
    }


def _pickled(file: Path) -> set[str]:
    """The names of all that a pickle would import, without loading it."""
    found, strings = set(), [""]
    for code, argument, _ in pickletools.genops(file.read_bytes()):
        if code.name == "STACK_GLOBAL":
            found.add(f"{strings[-2]} {strings[-1]}")
        elif "UNICODE" in code.name:
            strings.append(str(argument))
    return found


def test_a_refusal_of_sbatch_is_one_line(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit")
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
@pytest.mark.parametrize("count", [1, 5])
def test_a_submission_without_an_answer_keeps_its_folder(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], program: str, count: int
) -> None:
    pytest.importorskip("submitit")
    sbatch(program)
    with pytest.raises(UnansweredError) as caught:
        Submissions.of(directories[0]).submit(directories[:count], OPTIONS, ASKED, 1)
    folder = Submissions.of(directories[0]).folder / caught.value.name
    name_task_files(folder, "7")
    expected = {f"7_{index}_submitted.pkl" for index in range(5)} if count == 5 else {"7_submitted.pkl"}
    assert {file.name for file in folder.glob("*.pkl")} == expected
    assert len({file.read_bytes() for file in folder.glob("*.pkl")}) == 1  # so that it does not matter which is whose
    name_task_files(folder, "8")
    assert {file.name for file in folder.glob("*.pkl")} == expected


def test_an_output_folder_with_a_pattern_of_slurm_is_refused(tmp_path: Path, jobs: list[Job]) -> None:
    with pytest.raises(UsageError, match="name an --output without '%'"):
        Submissions.of(JobDirectory.of(tmp_path / "100%j", jobs[0]))
