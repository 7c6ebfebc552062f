"""A training that is stopped and resumed, in one process: to the bit what the undisturbed one is, wherever it stops."""

import json
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from asrnn_bench.worker.progress import Progress
from asrnn_bench.worker.stopping import PreemptedError, StopRequest
from asrnn_bench.worker.training import train

STEPS = 12
SUITE = TINY.replace("max_steps = 4", f"max_steps = {STEPS}").replace("validate_every = 2", "validate_every = 3")
SUITE = SUITE.replace(
    "batch_size = 8", "batch_size = 400"
)  # ten batches an epoch, so that a run crosses into a second one
SUITE = SUITE.replace('models = ["rnn"]', 'models = ["antisymmetric"]')
SUITE += """
[settings.permuted-mnist.antisymmetric]
origin = "this test"
learning_rate = 0.01
schedule = "cosine"
hyper = { num_layers = 2, dropout = 0.5 }
"""


class StopAt(StopRequest):
    """Asked to stop before the batch after so many steps."""

    def __init__(self, looks: int | None) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        if self.looks is None:
            return False
        self.looks -= 1
        return self.looks < 0


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `srun` command is available")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(SUITE)
    return make_plan(load_suite(str(path)), Request()).jobs[-1]


def _run(output: Path, job: Job, looks: int | None = None, **options: object) -> tuple[JobDirectory, Record | None]:
    directory = JobDirectory.of(output, job)
    directory.write_job(job)
    try:
        chosen = Options.model_validate({"loggers": (), **options})
        return directory, train(directory, directory.claim(), chosen, Rank(), StopAt(looks))
    except PreemptedError:
        return directory, None


def _weights(directory: JobDirectory) -> dict[str, Tensor]:
    return load_file(directory.attempts()[-1].path / "weights.safetensors")


@pytest.fixture(scope="module")
def undisturbed(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, dict[str, Tensor]]:
    directory, record = _run(tmp_path_factory.mktemp("undisturbed"), job)
    assert record is not None
    assert record.reason is None
    return record, _weights(directory)


def _assert_equal(directory: JobDirectory, record: Record | None, wanted: tuple[Record, dict[str, Tensor]]) -> None:
    assert record is not None
    assert record.scores == wanted[0].scores
    assert record.curve == wanted[0].curve
    for name, value in _weights(directory).items():
        assert torch.equal(value, wanted[1][name]), name


@pytest.mark.parametrize("step", [1, 3, 10, 11, STEPS + 1])  # a validation, an epoch's end, the end
def test_stopped_before_any_batch_it_goes_on_to_the_same_bits(
    step: int, job: Job, tmp_path: Path, undisturbed: tuple[Record, dict[str, Tensor]]
) -> None:
    directory, nothing = _run(tmp_path, job, looks=step + 1)  # the first look is before the training
    assert nothing is None
    assert directory.saved_step() == min(step, STEPS)
    torch.manual_seed(99)  # a process of its own starts with other generators
    directory, record = _run(tmp_path, job)
    _assert_equal(directory, record, undisturbed)
    assert json.loads((directory.attempts()[-1].path / "start.json").read_text())["resumed_from"].startswith("step ")


def test_stopped_again_and_again_it_comes_to_the_same_bits(
    job: Job, tmp_path: Path, undisturbed: tuple[Record, dict[str, Tensor]]
) -> None:
    for _ in range(3):
        directory, nothing = _run(
            tmp_path, job, looks=3
        )  # after two steps: between validations, which come after three
        assert nothing is None
    directory, record = _run(tmp_path, job)
    _assert_equal(directory, record, undisturbed)


class StopInValidation(StopRequest):
    """Gets a signal during one of the validations, at its start or after so many of its batches."""

    def __init__(self, validation: int, batches: int) -> None:
        super().__init__()
        self.validation, self.batches = validation, batches

    def note(self, validation: int, batches: int) -> None:
        if (validation, batches) == (self.validation, self.batches):
            self.signal = signal.SIGTERM


@pytest.fixture(scope="module")
def by_epoch(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Record, dict[str, Tensor]]:
    """A job with a validation at the end of an epoch, and what comes of it undisturbed."""
    job = job.model_copy(update={"training": job.training.model_copy(update={"validate_every": 10})})
    directory, record = _run(tmp_path_factory.mktemp("by-epoch"), job)
    assert record is not None
    return job, record, _weights(directory)


@pytest.mark.parametrize(("every", "validation", "batches"), [(3, 1, 0), (3, 2, 1), (3, 4, 1), (10, 1, 1)])
def test_stopped_during_a_validation_it_runs_it_again_and_comes_to_the_same_bits(
    every: int,
    validation: int,
    batches: int,
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[Record, dict[str, Tensor]],
    by_epoch: tuple[Job, Record, dict[str, Tensor]],
) -> None:
    wanted = undisturbed
    if every == 10:
        job, *rest = by_epoch
        wanted = (rest[0], rest[1])
    stop = StopInValidation(validation, batches)
    seen = [0, 0]
    at_start, at_end = Progress.on_validation_start, Progress.on_validation_batch_end

    def note_start(self: Any, *given: Any) -> None:
        seen[:] = [seen[0] + 1, 0]
        stop.note(*seen)
        at_start(self, *given)

    def note_end(self: Any, *given: Any) -> None:
        seen[1] += 1
        stop.note(*seen)
        at_end(self, *given)

    monkeypatch.setattr(Progress, "on_validation_start", note_start)
    monkeypatch.setattr(Progress, "on_validation_batch_end", note_end)
    directory = JobDirectory.of(tmp_path / "stopped", job)
    directory.write_job(job)
    with pytest.raises(PreemptedError, match="SIGTERM"):
        train(directory, directory.claim(), Options(loggers=()), Rank(), stop)
    assert directory.saved_step() == min(validation * every, STEPS)
    torch.manual_seed(99)
    directory, resumed = _run(tmp_path / "stopped", job)
    _assert_equal(directory, resumed, wanted)
    lines = (directory.attempts()[-1].path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [point.step for point in wanted[0].curve]


@pytest.mark.parametrize(("damage", "resumed"), [("last", "step 6 (previous)"), ("both", "scratch")])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_that_to_the_beginning(
    damage: str, resumed: str, job: Job, tmp_path: Path, undisturbed: tuple[Record, dict[str, Tensor]]
) -> None:
    directory, nothing = _run(tmp_path, job, looks=10, checkpoint_steps=3)
    assert nothing is None
    store = Checkpoints(directory.checkpoints, job.key)
    assert directory.saved_step() == 9
    for step in (9, 6) if damage == "both" else (9,):
        file = store.path(step)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    directory, record = _run(tmp_path, job)
    _assert_equal(directory, record, undisturbed)
    said = json.loads((directory.attempts()[-1].path / "start.json").read_text())
    assert said["resumed_from"] == resumed
    assert "its sha256 is" in said["refused"][0]
