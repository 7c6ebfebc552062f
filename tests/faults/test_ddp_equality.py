"""Two processes that share one training come to what one process comes to alone (gloo, on the CPU)."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ddp_training
import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RANKS = 2


def train(folder: Path, precision: str, world_size: int) -> list[dict[str, Any]]:
    """Start every rank as a process of its own, so that Lightning starts none, and return what each saw."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    outs = [folder / f"{world_size}-{rank}.json" for rank in range(world_size)]
    ranks = [
        subprocess.Popen(
            [sys.executable, ddp_training.__file__, out, precision, str(world_size)],
            env=plain | shared | {"LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, out in enumerate(outs)
    ]
    try:
        for rank in ranks:
            said = rank.communicate(timeout=200)[0]
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return [json.loads(out.read_text(encoding="utf-8")) for out in outs]


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        ("64-true", 1e-9),  # measured: 1e-15 over 50 steps, the order in which a mean is summed
        ("32-true", 1e-5),  # measured: 5e-7
    ],
)
def test_two_ranks_train_as_one_process_does(tmp_path: Path, precision: str, tolerance: float) -> None:
    (alone,), ranks = train(tmp_path, precision, 1), train(tmp_path, precision, RANKS)
    assert [(rank["rank"], rank["world_size"]) for rank in ranks] == [(0, RANKS), (1, RANKS)]
    for rank in ranks:
        assert rank["sizes"] == [ddp_training.BATCH_SIZE // RANKS] * ddp_training.STEPS
    assert {rank["loader"] for rank in ranks} == {"FittedBatches"}  # Lightning put no sampler of its own in
    assert alone["losses"][-1] < alone["losses"][0] - 0.2  # it learns: equal losses are not those of equal chance
    assert ranks[0]["losses"] == ranks[1]["losses"]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert len(alone["losses"]) == ddp_training.STEPS
    assert ranks[0]["losses"] == pytest.approx(alone["losses"], rel=0, abs=tolerance)
    for rank in ranks:
        assert [found["val/samples"] for found in rank["validations"]] == list(ddp_training.COUNTS)
        assert rank["test"]["test/samples"] == 500
        for found, expected in zip(
            [*rank["validations"], rank["test"]], [*alone["validations"], alone["test"]], strict=True
        ):
            stage = "val" if "val/loss" in expected else "test"
            assert found[f"{stage}/accuracy"] == expected[f"{stage}/accuracy"]
            # the metric sums in float32, whatever the model's precision
            assert found[f"{stage}/loss"] == pytest.approx(expected[f"{stage}/loss"], rel=0, abs=1e-5)
