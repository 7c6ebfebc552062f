"""The Slurm launcher without a Slurm: what it asks for, what it submits, and what runs on a node."""

import os
import pickletools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_support import one_line

from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.choice import choose_launcher
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.slurm import commands as slurm_commands
from asrnn_bench.launching.slurm import task as slurm_task
from asrnn_bench.launching.slurm.commands import Seen, look, outside_of_slurm
from asrnn_bench.launching.slurm.description import describe_slurm, sbatch_lines
from asrnn_bench.launching.slurm.folder import name_tasks, write_jobs
from asrnn_bench.launching.slurm.launcher import run_slurm
from asrnn_bench.launching.slurm.request import SlurmRequest
from asrnn_bench.launching.slurm.submission import RefusedError, Submissions, UnansweredError, script_parameters
from asrnn_bench.records.job import Job

OPTIONS = Options(retries=1)
ASKED = SlurmRequest({"partition": "gpu"})


def test_options_are_read_as_they_are_written() -> None:
    words = ["partition=gpu", "mem-per-cpu=2G", "--qos=long", "constraint=a100&ib", "exclusive", "comment=a=b c"]
    assert SlurmRequest.parse(words).options == {
        "partition": "gpu",
        "mem_per_cpu": "2G",
        "qos": "long",
        "constraint": "a100&ib",
        "exclusive": "",
        "comment": "a=b c",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Partition=gpu"], "takes key=value, such as partition=gpu"),
        (["=gpu"], "takes key=value"),
        (["a b=c"], "takes key=value"),
        (["$(reboot)=1"], "takes key=value"),
        (["comment=a\n#SBATCH --uid=0"], "comment: its value must be one line"),
        (["comment=a\x00b"], "must be one line"),
        (["array=0-9"], "array is set by the run itself: array_parallelism=N"),
        (["nodes=2"], "--nodes-per-job says it"),
        (["ntasks-per-node=2"], "--devices-per-job says it"),
        (["output=/dev/null"], "each attempt has its log"),
        (["signal=USR1@60"], "it follows from time"),
        (["qos=a", "qos=b"], "qos is given twice, as 'a' and 'b'"),
        (["mem=1G", "mem_per_cpu=1G"], "mem and mem_per_cpu exclude each other"),
        (["array_parallelism=0"], "a whole number of at least 1"),
        (["array_parallelism=many"], "a whole number of at least 1"),
        (["requeue=False"], "requeue=False: sbatch knows no such value; an option that takes none is"),
        (["exclusive=true"], "exclusive=true: sbatch knows no such value; an option that takes none is"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_to_do(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SlurmRequest.parse(words)
    assert message in one_line(str(caught.value))


@pytest.mark.parametrize(
    ("time", "notice"), [("", 120), ("UNLIMITED", 120), ("1-0", 120), ("8", 120), ("2", 30), ("0:40", 10), ("0:01", 1)]
)
def test_the_notice_ahead_of_a_time_limit_leaves_most_of_it(time: str, notice: int) -> None:
    assert SlurmRequest({"time": time}).notice_seconds() == notice


def _parameters(options: Options, *words: str, threads: int = 1) -> dict[str, object]:
    return dict(script_parameters("name", 3, options, SlurmRequest.parse(words), threads)["additional_parameters"])


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


@pytest.mark.parametrize(
    ("words", "nodes", "given"),
    [
        (["partition=gpu"], 1, 0),
        (["gpus_per_node=1"], 1, 1),
        (["gpus_per_node=a100:2"], 1, 2),
        (["gpus=4"], 2, 2),
        (["gpus=a100:1,v100:1"], 1, 2),
        (["gpus_per_task=2"], 1, 2),
        (["gpus_per_socket=1"], 1, None),
        (["gres=gpu"], 1, 1),
        (["gres=gpu:1"], 1, 1),
        (["gres=gpu:a100:2"], 1, 2),
        (["gres=gpu:1g.5gb:3"], 1, 3),
        (["gres=gpu:a100:2,license:1"], 1, 2),
        (["gres=license:1"], 1, 0),
        (["gres=none"], 1, 0),
        (["gpus=0"], 1, 0),
        (["gpu_freq=low"], 1, 0),
        (["tres_per_task=gres/gpu:1"], 1, 1),
        (["tres_per_task=cpu:4,gres/gpu=2"], 1, 2),
        (["tres_per_task=gres/gpu:a100:2"], 1, 2),
        (["tres_per_node=gres:gpu:2"], 1, 2),
        (["tres_per_job=gres/gpu:4"], 2, 2),
        (["tres_per_task=cpu:4"], 1, 0),
        (["exclusive"], 1, None),
        (["exclusive", "gres=gpu:2"], 1, 2),
    ],
)
def test_every_way_to_ask_for_gpus_is_understood(words: list[str], nodes: int, given: int | None) -> None:
    request = SlurmRequest.parse(words)
    assert request.gpus_per_node(nodes) == given
    assert request.asks_for_gpus == (given != 0 and words != ["exclusive"])


@pytest.mark.parametrize(
    ("words", "devices", "nodes", "message"),
    [
        (["gpus_per_node=1"], 2, 1, "1 GPU on each node of a job, which uses 2: ask for gpus_per_node=2, or give"),
        (["gres=gpu:4"], 1, 1, "4 GPUs on each node of a job, which uses 1: .* or give --devices-per-job 4"),
        (["gpus=2"], 2, 2, "1 GPU on each node of a job, which uses 2"),
        (["gpus_per_task=1"], 2, 2, "gpus_per_task hides a node's GPUs"),
        (["tres_per_task=gres/gpu:1"], 2, 2, "tres_per_task hides a node's GPUs"),
    ],
)
def test_what_a_job_uses_and_what_it_is_given_agree_or_the_run_is_refused(
    words: list[str], devices: int, nodes: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        choose_launcher(_settings(words, devices, nodes), threads=1)
    one_line(str(caught.value))


def _settings(words: list[str], devices: int, nodes: int = 1) -> LaunchSettings:
    options = Options(devices_per_job=devices, nodes_per_job=nodes)
    return LaunchSettings("slurm", options=options, slurm_options=tuple(words))


@pytest.mark.parametrize(
    ("words", "devices", "pace"),
    [
        ([], 1, "as many at a time as Slurm starts, each on the CPU unless Slurm gives it GPUs unasked"),
        (["gpus=2"], 2, "as many at a time as Slurm starts, each on 2 GPUs of each node"),
        (
            ["array_parallelism=5", "gres=gpu"],
            1,
            "as many at a time as Slurm starts, 5 of an array at most, each on 1 GPU",
        ),
        (["exclusive"], 2, "as many at a time as Slurm starts, each on the GPUs of its nodes, if they have any"),
        (["gpus_per_socket=1"], 2, "as many at a time as Slurm starts, each on the GPUs of its nodes"),
    ],
)
def test_where_jobs_run_is_said_and_no_number_is_invented(words: list[str], devices: int, pace: str) -> None:
    launcher = choose_launcher(_settings(words, devices), threads=1)
    assert launcher.pace.startswith(pace)
    assert launcher.at_a_time == (5 if "array_parallelism=5" in words else None)


def test_a_step_is_handed_the_gpus_that_a_job_was_given_unasked() -> None:
    setup = script_parameters("name", 3, OPTIONS, SlurmRequest({"exclusive": ""}), 1)["setup"]
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
    asked = script_parameters("name", 3, OPTIONS, SlurmRequest({"gres": "gpu:2"}), 1)["setup"]
    assert not any("SLURM_GPUS" in line for line in asked)


def test_what_the_user_s_environment_asks_of_sbatch_is_part_of_the_request() -> None:
    variables = {
        "SBATCH_GRES": "gpu:2",
        "SBATCH_TIMELIMIT": "8",
        "SBATCH_MEM_PER_NODE": "9G",
        "SBATCH_EXCLUSIVE": "1",
        "SBATCH_PARTITION": "gpu",
        "SLURM_GRES": "gpu:7",
    }
    assert SlurmRequest().with_defaults(variables).options == {
        "gres": "gpu:2",
        "time": "8",
        "mem": "9G",
        "exclusive": "",
    }
    given = SlurmRequest.parse(["gpus=1", "mem_per_cpu=1G", "time=5"]).with_defaults(variables)
    assert given.options == {"gpus": "1", "mem_per_cpu": "1G", "time": "5", "exclusive": ""}


@pytest.mark.parametrize(
    ("variables", "promised", "place"),
    [
        ({}, False, {"ASRNN_BENCH_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""}),
        ({"CUDA_VISIBLE_DEVICES": "0"}, False, {"ASRNN_BENCH_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""}),
        ({"SLURM_GPUS_ON_NODE": "0"}, False, {"ASRNN_BENCH_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""}),
        ({"SLURM_GPUS_ON_NODE": "2"}, False, {"ASRNN_BENCH_DEVICES": "2"}),
        ({"SLURM_JOB_GPUS": "0,1"}, False, {"ASRNN_BENCH_DEVICES": "2"}),
        ({"SLURM_STEP_GPUS": "3"}, False, {"ASRNN_BENCH_DEVICES": "2"}),
        ({}, True, {"ASRNN_BENCH_DEVICES": "2"}),
    ],
)
def test_gpus_that_slurm_gave_are_never_hidden_and_promised_ones_are_expected(
    variables: dict[str, str], promised: bool, place: dict[str, str]
) -> None:
    assert slurm_task.gpu_place(variables, 2, promised=promised) == place


def test_a_dry_run_needs_neither_slurm_nor_submitit(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("asrnn_bench.launching.slurm.commands.LONGEST_ARRAY", 2)
    text = describe_slurm(directories, OPTIONS, SlurmRequest.parse(["partition=gpu", "comment=it's"]), 1)
    assert "2 submissions of 2 jobs:\n" in text
    assert "1 submission of 1 job:\n" in text
    assert "  #SBATCH --partition=gpu\n" in text
    assert "  #SBATCH --array=0-1%2\n" in text
    assert "  #SBATCH --comment='it'\"'\"'s'\n" in text
    assert "  #SBATCH --requeue\n" in text
    assert "--signal=USR2@120" in text
    assert describe_slurm([], OPTIONS, ASKED, 1) == "nothing to submit to Slurm"


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts commands of Slurm on the path that keep what they are given, in the folder that it returns."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(program: str) -> Path:
        for name in ("sbatch", "srun", "squeue", "scontrol"):
            (folder / name).write_text(f"#!/bin/sh\n{program if name == 'sbatch' else 'true'}\n")
            (folder / name).chmod(0o755)
        return folder

    return install


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


def test_what_sbatch_says_against_it_is_one_line(
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
def test_a_submission_that_was_perhaps_taken_keeps_its_folder_for_its_tasks(
    directories: list[JobDirectory], sbatch: Callable[[str], Path], program: str, count: int
) -> None:
    pytest.importorskip("submitit")
    sbatch(program)
    with pytest.raises(UnansweredError) as caught:
        Submissions.of(directories[0]).submit(directories[:count], OPTIONS, ASKED, 1)
    folder = Submissions.of(directories[0]).folder / caught.value.name
    name_tasks(folder, "7")
    expected = {f"7_{index}_submitted.pkl" for index in range(5)} if count == 5 else {"7_submitted.pkl"}
    assert {file.name for file in folder.glob("*.pkl")} == expected
    assert len({file.read_bytes() for file in folder.glob("*.pkl")}) == 1  # so that it does not matter which is whose
    name_tasks(folder, "8")
    assert {file.name for file in folder.glob("*.pkl")} == expected


def test_a_folder_that_slurm_takes_for_a_pattern_is_refused(tmp_path: Path, jobs: list[Job]) -> None:
    with pytest.raises(UsageError, match="name an --output without '%'"):
        Submissions.of(JobDirectory.of(tmp_path / "100%j", jobs[0]))


def test_without_slurm_s_commands_it_says_where_to_go(
    directories: list[JobDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="there is no 'sbatch' here: start the run on a login node"):
        run_slurm(directories, OPTIONS, ASKED)


def test_the_queue_is_read_with_arrays_and_without_and_past_a_site_s_banner(
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
    assert look(["a", "b"]) == {
        ("a", 3): Seen("7_3", "PENDING", "Nodes are DOWN | or so"),
        ("b", 0): Seen("8", "RUNNING", "None"),
    }
    said = (folder / "said").read_text()
    assert said.startswith("--all ")
    assert "SLURM_CLUSTERS=one" in said
    assert "SQUEUE_" not in said
    (folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert look(["a"]) is None
    assert look([]) == {}


@pytest.mark.parametrize(
    ("status", "state", "again"),
    [
        (75, "RUNNING", True),
        (75, "CANCELLED", False),
        (75, "COMPLETING", False),
        (75, None, False),
        (0, "RUNNING", False),
    ],
)
def test_a_job_that_was_told_to_stop_is_queued_again_unless_slurm_ends_it(
    status: int, state: str | None, again: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requeued: list[str] = []
    write_jobs(tmp_path / "runs" / ".slurm" / "name", [tmp_path / "runs" / str(index) for index in range(4)])
    started: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(
        slurm_task, "supervise", lambda path, options, environment, start: started.append((path, environment)) or status
    )
    monkeypatch.setattr(slurm_task, "state_of", lambda number: state)
    monkeypatch.setattr(slurm_task, "requeue", lambda number: requeued.append(number) or True)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(SystemExit) as caught:
        slurm_task.run_task(str(tmp_path / "runs" / ".slurm" / "name"), OPTIONS.model_dump_json(), {"A": "1"}, False)
    place = {"A": "1", "ASRNN_BENCH_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""}
    assert started == [(str(tmp_path / "runs" / "3"), place)]
    assert caught.value.code == status
    assert requeued == (["7_3"] if again else [])


def test_a_job_around_the_runner_is_hidden_from_what_it_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    with outside_of_slurm():
        assert slurm_commands.own_number() is None
    assert slurm_commands.own_number() == "9"
