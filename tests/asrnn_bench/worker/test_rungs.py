"""A trial that pauses at rungs: what goes on from the checkpoint of the one before is the undisturbed training."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bench_support import TINY
from safetensors.torch import load_file
from torch import Tensor

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import Rank
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record
from asrnn_bench.worker.checkpoints import Checkpoints
from asrnn_bench.worker.stopping import StopRequest
from asrnn_bench.worker.training import train

STEPS = 12
SUITE = TINY.replace("max_steps = 4", f"max_steps = {STEPS}").replace("validate_every = 2", "validate_every = 3")
SUITE = SUITE.replace("batch_size = 8", "batch_size = 400")  # ten batches an epoch
SUITE = SUITE.replace('models = ["rnn"]', 'models = ["antisymmetric"]')
SUITE = SUITE.replace("seeds = [0]", 'seeds = [0]\nschedule = "cosine"')
SUITE += """
[settings.permuted-mnist.antisymmetric]
origin = "this test"
optimizer = "adam"
learning_rate = 0.01
hyper = { num_layers = 2, dropout = 0.5 }
"""

Outcome = tuple[JobDirectory, Record, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A trial without a rung."""
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(SUITE)
    return make_plan(load_suite(str(path)), Request()).jobs[-1].model_copy(update={"tested": False})


def at(job: Job, rung: int) -> Job:
    training = job.training.model_dump() | {"rung": rung}
    return Job.model_validate(job.model_dump() | {"training": training})


def run(output: Path, job: Job, earlier: JobDirectory | None = None) -> Outcome:
    directory = JobDirectory.of(output, job)
    directory.write_job(job)
    assert earlier is None or directory.take_checkpoint(earlier)
    attempt = directory.claim()
    record = train(directory, attempt, Options(loggers=()), Rank(), StopRequest())
    assert record is not None
    directory.publish(record, attempt)
    directory.clear(keep_checkpoints=False)
    return directory, record, load_file(attempt.path / "weights.safetensors")


@pytest.fixture(scope="module")
def undisturbed(whole: Job, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(tmp_path_factory.mktemp("undisturbed"), whole)


def begun_at(directory: JobDirectory) -> str:
    return (directory.attempts()[-1].path / "start.json").read_text()


# After a validation, between two, at the end of an epoch, within the second one.
@pytest.mark.parametrize("rungs", [(3, 9), (4, 10), (11,)])
def test_rung_by_rung_it_comes_to_the_bits_of_the_undisturbed_training(
    rungs: tuple[int, ...], whole: Job, tmp_path: Path, undisturbed: Outcome
) -> None:
    earlier: JobDirectory | None = None
    for rung in rungs:
        torch.manual_seed(99)  # a process of its own starts with other generators
        earlier, record, _ = run(tmp_path, at(whole, rung), earlier)
        assert record.status == "done"
        assert record.scores is not None
        assert record.scores.test_accuracy is None
        regular = [point for point in undisturbed[1].curve if point.step <= rung]
        assert [point for point in record.curve if point.step % 3 == 0] == regular
        assert record.curve[-1].step == rung
        assert list(earlier.checkpoints.glob("*.ckpt"))
    torch.manual_seed(99)
    directory, record, weights = run(tmp_path, whole, earlier)
    assert f"step {rungs[-1]} " in begun_at(directory)
    assert record.curve == undisturbed[1].curve
    assert record.scores == undisturbed[1].scores
    assert all(torch.equal(value, undisturbed[2][name]) for name, value in weights.items())
    assert not directory.checkpoints.exists()


def test_without_the_checkpoint_before_a_rung_trains_from_the_beginning_to_the_same_bits(
    whole: Job, tmp_path: Path
) -> None:
    first, *_ = run(tmp_path / "a", at(whole, 4))
    _, resumed, weights = run(tmp_path / "a", at(whole, 8), first)
    directory, afresh, same = run(tmp_path / "b", at(whole, 8))
    assert "scratch" in begun_at(directory)
    assert (resumed.curve, resumed.scores) == (afresh.curve, afresh.scores)
    assert all(torch.equal(value, same[name]) for name, value in weights.items())


def test_a_job_that_was_killed_between_its_rung_and_its_result_trains_no_step_more(whole: Job, tmp_path: Path) -> None:
    job = at(whole, 4)
    killed, expected, weights = run(tmp_path / "a", job)
    directory, record, same = run(tmp_path / "b", job, killed)
    assert "step 4 " in begun_at(directory)
    assert (record.curve, record.scores) == (expected.curve, expected.scores)
    assert all(torch.equal(value, same[name]) for name, value in weights.items())
    assert directory.saved_step() == 4


def test_a_rung_goes_on_from_no_checkpoint_of_a_later_one_and_of_no_other_job(whole: Job, tmp_path: Path) -> None:
    later, *_ = run(tmp_path, at(whole, 8))
    assert Checkpoints(later.checkpoints, whole.key, 8).newest().step == 8
    for key, steps in ((whole.key, 4), (at(whole, 8).key, 8)):
        found = Checkpoints(later.checkpoints, key, steps).newest()
        assert found.path is None
        assert found.refused
