"""Cases 5 and 6: a worker that is asked to stop saves and is resumed; one that hangs is ended and started again."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest
from fault_support import Bench, KillAtRandom, endings, kinds, outcome, plan_jobs, suite_text, write

from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job

pytestmark = pytest.mark.slow


def test_a_signal_has_the_worker_save_at_the_next_batch_and_is_no_failure(
    job: Job, bench: Bench, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    directory = write(tmp_path, job)
    ask = KillAtRandom(1, 0.0, random.Random(0), signal=signal.SIGTERM)

    def in_training(worker: Any) -> None:
        if (directory.attempts()[0].path / "metrics.jsonl").exists():  # the first of several validations is over
            ask(worker)

    bench.run(directory, Options(checkpoint_seconds=None, retries=0, loggers=()), in_training)
    first, second = endings(directory)
    assert (first["kind"], first["returncode"]) == ("preempted", 75)
    assert first["reason"] == "asked to stop by SIGTERM"
    assert first["saved_step"] > 0  # no checkpoint was due: it was written because of the signal
    assert second["resumed_from"] == f"step {first['saved_step']} (last)"
    assert outcome(directory) == undisturbed


@pytest.mark.faults
def test_a_signal_before_the_training_costs_nothing(
    job: Job, bench: Bench, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    directory = write(tmp_path, job)
    ask = KillAtRandom(1, 0.0, random.Random(0), signal=signal.SIGTERM)
    bench.run(directory, Options(retries=0, loggers=()), ask)
    assert kinds(directory) == ["preempted", "done"]
    assert outcome(directory) == undisturbed


@pytest.mark.faults
def test_a_worker_that_hangs_is_ended_and_started_again_once(
    job: Job, bench: Bench, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    directory = write(tmp_path, job)
    freeze = KillAtRandom(1, 0.0, random.Random(0), signal=signal.SIGSTOP)

    def in_training(worker: Any) -> None:
        if directory.saved_step() > 0:
            freeze(worker)

    options = Options(checkpoint_steps=10, hang_seconds=8.0, grace_seconds=1.0, loggers=())
    bench.run(directory, options, in_training)
    first, second = endings(directory)
    assert (first["kind"], second["kind"]) == ("hang", "done")
    assert first["reason"].startswith("nothing moved for ")
    assert second["resumed_from"].startswith("step ")
    assert outcome(directory) == undisturbed


@pytest.mark.faults
def test_a_worker_that_always_hangs_is_given_up_and_keeps_its_checkpoint(
    job: Job, bench: Bench, tmp_path: Path
) -> None:
    directory = write(tmp_path, job)
    freeze = KillAtRandom(9, 0.0, random.Random(0), signal=signal.SIGSTOP)
    bench.run(directory, Options(hang_seconds=3.0, grace_seconds=0.5, loggers=()), freeze)
    assert kinds(directory) == ["hang", "hang"]
    state, reason = directory.state()
    assert state == "failed"
    assert str(reason).startswith("nothing moved for ")
    assert directory.is_given_up(retries=2)


@pytest.mark.faults
def test_a_time_limit_ends_a_job_whose_work_stays(bench: Bench, tmp_path: Path) -> None:
    job = plan_jobs(tmp_path, suite_text(5000))[-1]
    directory = write(tmp_path / "runs", job)
    options = Options(time_limit_seconds=6.0, loggers=())
    bench.run(directory, options)
    (only,) = endings(directory)
    assert (only["kind"], only["returncode"]) == ("time-limit", 75)
    assert only["saved_step"] > 0
    assert directory.state() == (
        "failed",
        "the time limit of 6 s is over; a larger --time-limit with --retry-failed goes on",
    )
    directory.start_afresh()
    bench.run(directory, options)
    assert endings(directory)[1]["resumed_from"] == f"step {only['saved_step']} (last)"
