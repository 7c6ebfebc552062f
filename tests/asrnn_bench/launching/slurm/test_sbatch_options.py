"""The options of sbatch that a user gives: how they are read, and what the run concludes from them."""

import pytest
from bench_support import one_line

from asrnn.errors import UsageError
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.choice import choose_launcher
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions


def test_options_are_read_as_they_are_written() -> None:
    words = ["partition=gpu", "mem-per-cpu=2G", "--qos=long", "constraint=a100&ib", "exclusive", "comment=a=b c"]
    assert SbatchOptions.parse(words).options == {
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
        SbatchOptions.parse(words)
    assert message in one_line(str(caught.value))


@pytest.mark.parametrize(
    ("time", "notice"), [("", 120), ("UNLIMITED", 120), ("1-0", 120), ("8", 120), ("2", 30), ("0:40", 10), ("0:01", 1)]
)
def test_a_job_is_warned_in_the_last_quarter_of_its_time(time: str, notice: int) -> None:
    assert SbatchOptions({"time": time}).notice_seconds() == notice


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
def test_gpus_are_counted_in_every_option_that_asks_for_them(words: list[str], nodes: int, given: int | None) -> None:
    sbatch_options = SbatchOptions.parse(words)
    assert sbatch_options.gpus_per_node(nodes) == given
    assert sbatch_options.asks_for_gpus == (given != 0 and words != ["exclusive"])


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
def test_a_run_is_refused_if_its_jobs_do_not_use_the_gpus_they_ask_for(
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
def test_the_pace_says_where_jobs_run_and_no_number_that_is_unknown(words: list[str], devices: int, pace: str) -> None:
    launcher = choose_launcher(_settings(words, devices), threads=1)
    assert launcher.pace.startswith(pace)
    assert launcher.at_a_time == (5 if "array_parallelism=5" in words else None)


def test_options_in_the_environment_of_the_user_are_read() -> None:
    variables = {
        "SBATCH_GRES": "gpu:2",
        "SBATCH_TIMELIMIT": "8",
        "SBATCH_MEM_PER_NODE": "9G",
        "SBATCH_EXCLUSIVE": "1",
        "SBATCH_PARTITION": "gpu",
        "SLURM_GRES": "gpu:7",
    }
    assert SbatchOptions().with_environment(variables).options == {
        "gres": "gpu:2",
        "time": "8",
        "mem": "9G",
        "exclusive": "",
    }
    given = SbatchOptions.parse(["gpus=1", "mem_per_cpu=1G", "time=5"]).with_environment(variables)
    assert given.options == {"gpus": "1", "mem_per_cpu": "1G", "time": "5", "exclusive": ""}
