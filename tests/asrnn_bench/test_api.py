"""The command line from Python refuses wrong calls in one line, and names classes by their files."""

from pathlib import Path

import pytest

import asrnn_bench
from asrnn.errors import ModelError, UsageError
from asrnn_bench.api import class_reference


@pytest.mark.parametrize(
    "wrong",
    [{"seeds": [-1]}, {"seeds": ["a"]}, {"threads": 0}, {"max_steps": 0}, {"devices": 0}, {"jobs_per_device": 0}],
)
def test_wrong_numbers_from_python_are_one_line(tiny_suite: Path, tmp_path: Path, wrong: dict) -> None:
    folders = {"output": tmp_path / "runs", "leaderboards": tmp_path / "leaderboards"}
    with pytest.raises(UsageError, match="must be"):
        asrnn_bench.run(str(tiny_suite), **folders, **wrong)


def test_a_model_file_that_starts_a_run_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRNN_BENCH_WORKER", "a job directory")
    with pytest.raises(UsageError, match="put it under if __name__ == '__main__':"):
        asrnn_bench.run()


def test_classes_are_found_again_by_file_or_by_module() -> None:
    from torch import nn

    assert class_reference(nn.RNNBase) == "torch.nn.modules.rnn:RNNBase"

    class Local(nn.Module):
        pass

    with pytest.raises(ModelError, match="is not at the top of a file"):
        class_reference(Local)
