"""Cases 1 and 2: a worker killed at any moment is resumed, and comes to the bits of the undisturbed one."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fault_support import Bench, KillAtRandom, KillOnTheWay, kinds, outcome, plan_jobs, suite_text, write

from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job

SHORT = Options(checkpoint_steps=7, retries=1000, loggers=())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_a_random_step_it_is_resumed_to_the_same_bits(
    seed: int, job: Job, bench: Bench, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    directory = write(tmp_path, job)
    step = random.Random(seed).randrange(8, 200)
    killer = KillAtRandom(1, 0.0, random.Random(seed))

    def at_the_step(worker: Any) -> None:
        if directory.saved_step() >= step - 7:
            killer(worker)

    bench.run(directory, SHORT, at_the_step)
    assert killer.killed == 1
    assert kinds(directory) == ["killed", "done"]
    start = json.loads((directory.attempts()[-1].path / "start.json").read_text())
    assert start["resumed_from"].startswith("step ")
    assert outcome(directory) == undisturbed
    assert len(list(directory.path.glob("result.json"))) == 1
    assert not directory.checkpoints.exists()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_killed_at_fifty_random_moments_it_comes_to_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    job = plan_jobs(tmp_path, suite_text(3000, validate_every=100))[-1]
    clean, directory = write(tmp_path / "clean", job), write(tmp_path / "killed", job)
    options = SHORT.model_copy(update={"checkpoint_steps": 10})
    bench.run(clean, options)
    killer = KillOnTheWay(directory, 50, random.Random(5))
    bench.run(directory, options, killer)
    assert killer.killed == 50
    assert kinds(directory) == ["killed"] * 50 + ["done"]
    assert outcome(directory) == outcome(clean)
