"""Case 22: a job on two ranks of which one is killed ends soon, is resumed, and comes to the undisturbed one's bits."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from fault_support import Bench, KillAtRandom, endings, kinds, outcome, plan_jobs, suite_text, write

from asrnn_bench.jobs.options import Options

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_dead_rank_ends_the_job_which_then_goes_on(rank: int, bench: Bench, tmp_path: Path) -> None:
    job = plan_jobs(tmp_path, suite_text(120))[-1]
    options = Options(devices_per_job=2, checkpoint_steps=10, loggers=())
    clean, directory = write(tmp_path / "clean", job), write(tmp_path / "killed", job)
    bench.run(clean, options)
    bench.workers.clear()
    killer, times = KillAtRandom(1, 0.0, random.Random(0)), []

    def in_training(_: Any) -> None:
        if directory.saved_step() > 20 and killer.killed == 0:
            killer(bench.workers[rank])
            if killer.killed:
                times.append(time.monotonic())
        if len(bench.workers) > 2 and len(times) == 1:
            times.append(time.monotonic())

    bench.run(directory, options, in_training)
    assert kinds(directory) == ["killed", "done"]
    assert endings(directory)[1]["resumed_from"].startswith("step ")
    assert times[1] - times[0] < 30  # the issue's own bound; a collective would wait for half an hour
    assert outcome(directory) == outcome(clean)
    assert len(list(directory.path.glob("**/worker.rank-1.log"))) == 2
    assert len(list(directory.path.glob("**/weights.safetensors"))) == 1  # rank 0 alone publishes


def test_two_ranks_come_to_the_scores_of_one(bench: Bench, tmp_path: Path) -> None:
    text = suite_text(20).replace("hyper = { num_layers = 2, dropout = 0.3 }", "")
    job = plan_jobs(tmp_path, text)[-1]
    one, two = write(tmp_path / "one", job), write(tmp_path / "two", job)
    bench.run(one, Options(loggers=()))
    bench.run(two, Options(devices_per_job=2, loggers=()))
    alone, together = one.result(), two.result()
    assert alone is not None
    assert together is not None
    assert alone.scores is not None
    assert together.scores is not None
    assert (together.scores.val_samples, together.scores.test_samples) == (500, 500)
    # Gradients are summed in another order: a float32 loss near 2.3 after 20 steps differs by some 1e-6.
    assert together.scores.test_loss == pytest.approx(alone.scores.test_loss, abs=1e-5)
    assert [p.train_loss for p in together.curve] == pytest.approx([p.train_loss for p in alone.curve], abs=1e-5)
    assert together.environment["processes"] == 2
    assert together.scores.test_order == alone.scores.test_order
    both = list(zip(alone.scores.correct or [], together.scores.correct or [], strict=True))
    assert len(both) == 500
    assert sum(one != two for one, two in both) <= 5  # those whose two best logits are within the float error above
