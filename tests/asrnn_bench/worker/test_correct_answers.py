"""Compare the record's bits of test samples, and its weights, with a test by plain torch."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pytest
import torch
from bench_support import TINY
from safetensors.torch import load

from asrnn import build_model
from asrnn.errors import UsageError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import Rank
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import Record
from asrnn_bench.worker.building import build_data
from asrnn_bench.worker.stopping import StopRequest
from asrnn_bench.worker.training import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobDirectory, Record]]:
    """A job of four steps, trained."""
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(TINY)
    job = make_plan(load_suite(str(folder / "tiny.toml")), Request()).jobs[-1]
    directory = JobDirectory.of(folder / "runs", job)
    directory.write_job(job)
    attempt = directory.claim()
    record = train(directory, attempt, Options(loggers=()), Rank(), StopRequest())
    assert record is not None
    directory.publish(record, attempt)
    directory.clear(keep_checkpoints=False)
    yield directory, record
    torch.set_num_threads(threads)


def test_the_bits_are_what_the_named_weights_say_sample_by_sample(finished: tuple[JobDirectory, Record]) -> None:
    directory, record = finished
    model = build_model("rnn", input_size=1, hidden_size=4, num_outputs=10)
    model.load_state_dict(load(directory.weights(record)))
    data = build_data(record.job, None)
    data.setup()
    x, labels = data.samples("test", 0, data.num_test)
    with torch.no_grad():
        scores = torch.softmax(model(x).double(), dim=1)
    sure = scores.topk(2).values.diff().abs().squeeze() > 1e-6  # one batch is multiplied in another order than many
    assert sure.sum() > 400
    found = torch.tensor(record.scores.correct if record.scores else None)
    assert torch.equal(found[sure], (scores.argmax(1) == labels)[sure])
    assert 0 < found.sum() < len(found)


def test_the_order_is_that_of_the_test_samples_and_no_other_parts(finished: tuple[JobDirectory, Record]) -> None:
    _, record = finished
    data = build_data(record.job, None)
    orders = {part: data.sample_order(part) for part in ("train", "val", "test")}
    assert record.scores is not None
    assert record.scores.test_order == orders["test"]
    assert len(set(orders.values())) == 3


def test_weights_stay_when_the_job_is_cleared_and_are_looked_at_before_they_are_used(
    finished: tuple[JobDirectory, Record],
) -> None:
    directory, record = finished
    assert record.is_whole
    assert not directory.checkpoints.exists()
    assert record.weights is not None
    file = directory.path / record.weights.file
    content = bytearray(file.read_bytes())
    try:
        content[-1] ^= 1
        file.write_bytes(content)
        with pytest.raises(UsageError, match=r"is damaged: its sha256 is \w{12}, not \w{12}"):
            directory.weights(record)
        file.unlink()
        with pytest.raises(UsageError, match="cannot be read"):
            directory.weights(record)
    finally:
        content[-1] ^= 1
        file.write_bytes(content)
    with pytest.raises(UsageError, match="names no weights"):
        directory.weights(record.model_copy(update={"weights": None}))


def test_a_published_order_is_the_digest_that_its_definition_says(finished: tuple[JobDirectory, Record]) -> None:
    """So that somebody without this package can tell which samples the bits are of."""
    data = build_data(finished[1].job, None)
    data.setup()
    indices = np.asarray(data._indices["test"], dtype="<i8")
    head = f"{data.image_set.digest()}\ntrain\n".encode()
    assert data.sample_order("test") == sha256(head + indices.tobytes()).hexdigest()
