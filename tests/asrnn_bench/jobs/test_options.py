from collections.abc import Mapping
from typing import Any

import pytest

from asrnn.errors import UsageError
from asrnn_bench.jobs.handover import SLURM_RANKS_VARIABLE, Rank
from asrnn_bench.jobs.options import OPTIONS_VARIABLE, Options, chosen_loggers, make_options


def test_options_travel_as_they_are_and_carry_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "canary")
    options = Options(
        data_dir="/data", python_path="/src", checkpoint_steps=7, hang_seconds=1.5, loggers=("csv", "wandb")
    )
    variables = options.environment()
    assert set(variables) == {OPTIONS_VARIABLE, "ASRNN_DATA_DIR", "PYTHONPATH"}
    assert "canary" not in str(variables)
    assert Options.from_environment(variables) == options
    assert Options.from_environment({}) == Options()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"retrys": 1}, "unknown option 'retrys'; did you mean 'retries'"),
        ({"retries": -1}, "retries: .* found -1"),
        ({"data_dir": "/x"}, "unknown option 'data_dir'"),
        ({"loggers": ["cvs"]}, "loggers.0: "),
    ],
)
def test_wrong_options_are_one_line(values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        make_options(values)
    assert "\n" not in str(caught.value)


def test_loggers_come_by_name() -> None:
    assert chosen_loggers(["wandb", "csv"]) == ("csv", "wandb")
    assert chosen_loggers(["none"]) == ()
    with pytest.raises(UsageError, match="unknown logger 'tensorbord'; did you mean 'tensorboard'"):
        chosen_loggers(["tensorbord"])


def test_a_process_knows_its_rank_by_its_supervisor_or_by_srun() -> None:
    assert Rank.from_environment(1, 1, {}) == Rank(0, 0, 0, 1)
    told = Rank(3, 1, 1, 4).environment("host", 4000)
    assert Rank.from_environment(4, 2, told) == Rank(3, 1, 1, 4)
    slurm = {SLURM_RANKS_VARIABLE: "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"}
    assert Rank.from_environment(4, 2, slurm) == Rank(2, 0, 1, 4)
    with pytest.raises(UsageError, match="started without LOCAL_RANK and NODE_RANK"):
        Rank.from_environment(2, 2, {})
