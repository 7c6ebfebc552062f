"""Test the task on a node of Slurm: the GPUs of a worker, its ranks, and the requeue after a stop."""

from pathlib import Path

import pytest

from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm import task as slurm_task
from asrnn_bench.launching.slurm.ranks import SrunRanks
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions
from asrnn_bench.supervising.processes import Child

OPTIONS = Options(retries=1)
ASKED = SbatchOptions({"partition": "gpu"})


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
def test_a_worker_sees_the_gpus_of_its_job_and_no_others(
    variables: dict[str, str], promised: bool, place: dict[str, str]
) -> None:
    assert slurm_task.gpu_variables(variables, 2, promised=promised) == place


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
def test_a_job_that_was_asked_to_stop_is_requeued_unless_slurm_ends_it(
    status: int, state: str | None, again: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requeued: list[str] = []
    options_file = tmp_path / "options.json"
    options_file.write_text(OPTIONS.model_dump_json())
    started: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(
        slurm_task, "supervise", lambda path, options, environment, start: started.append((path, environment)) or status
    )
    monkeypatch.setattr(slurm_task, "state_of", lambda number: state)
    monkeypatch.setattr(slurm_task, "requeue", lambda number: requeued.append(number) or True)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert slurm_task.main([str(options_file), str(tmp_path / "job")]) == status
    assert started == [(str(tmp_path / "job"), {"ASRNN_BENCH_DEVICES": "0", "CUDA_VISIBLE_DEVICES": ""})]
    assert requeued == (["7_3"] if again else [])


def test_a_task_without_its_job_or_its_options_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm_task.main([str(tmp_path / "nowhere.json"), str(tmp_path)]) == 2
    assert "nowhere.json" in capsys.readouterr().err
    (tmp_path / "options.json").write_text(OPTIONS.model_dump_json())
    assert slurm_task.main([str(tmp_path / "options.json"), str(tmp_path)]) == 2
    assert "is no job directory" in capsys.readouterr().err


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_on_several_nodes_starts_its_ranks_by_srun(
    nodes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = Options(nodes_per_job=nodes)
    options_file = tmp_path / "options.json"
    options_file.write_text(options.model_dump_json())
    started: list[object] = []
    monkeypatch.setattr(slurm_task, "supervise", lambda path, options, environment, start: started.append(start) or 0)
    assert slurm_task.main([str(options_file), str(tmp_path / "job")]) == 0
    (start,) = started
    if nodes == 1:
        assert start is Child
    else:
        assert (start.func, start.args) == (SrunRanks, (options,))
