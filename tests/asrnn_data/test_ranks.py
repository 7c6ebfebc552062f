"""The shares of processes that train together, joined, must be the batches and samples of one process."""

import functools
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn, TrainerState, TrainerStatus
from recording import equal

from asrnn.errors import UsageError
from asrnn_data import NoisePaddedMNIST, PermutedMNIST
from asrnn_data.batches import Share
from asrnn_data.sources import load_images

load_once = functools.cache(load_images)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    monkeypatch.setattr("asrnn_data.base.load_images", load_once)


class Rank:
    """What a data module asks of the trainer of one of several processes, which fits and is at a step."""

    overfit_batches = 0.0
    state = TrainerState(status=TrainerStatus.RUNNING, fn=TrainerFn.FITTING)

    def __init__(self, rank: int, world_size: int, step: int = 0) -> None:
        self.global_rank, self.world_size = rank, world_size
        self.strategy = SimpleNamespace(root_device=torch.device("cpu"))
        done = SimpleNamespace(completed=step)  # of the only epoch
        self.fit_loop = SimpleNamespace(
            epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(total=done, current=done))
        )


def modules(kind, world_size, step=0, num_samples=None, **sizes):
    """One data module a rank; `num_samples` cuts validation and test short."""
    found = []
    for rank in range(world_size):
        module = kind(images="mnist-5k-v1", **sizes)
        module.trainer = Rank(rank, world_size, step)
        module.setup()
        if num_samples is not None:
            module.num_samples = lambda part: num_samples
        found.append(module)
    return found


def joined(batches):
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


@pytest.mark.parametrize("kind", [PermutedMNIST, NoisePaddedMNIST])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_ranks_shares_of_a_batch_are_the_batch_bit_for_bit(kind, world_size):
    (alone,) = modules(kind, 1, batch_size=12)
    per_epoch = alone.steps_per_epoch
    for step in (0, 7, per_epoch - 1, per_epoch):
        shares = [next(iter(m.train_dataloader())) for m in modules(kind, world_size, step, batch_size=12)]
        assert [len(labels) for _, labels in shares] == [12 // world_size] * world_size
        assert equal(joined(shares), alone.train_batch(step))


def test_every_rank_sees_the_same_steps_of_an_epoch():
    first, second = modules(PermutedMNIST, 2, step=3, batch_size=800)  # five steps an epoch
    batches = list(zip(first.train_dataloader(), second.train_dataloader(), strict=True))
    assert len(first.train_dataloader()) == len(second.train_dataloader()) == 5
    assert len(batches) == 2
    for step, shares in enumerate(batches, start=3):
        assert equal(joined(shares), first.train_batch(step))


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("size", [1, 77, 250, 1_000])
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_the_ranks_evaluate_every_sample_once_and_in_order(part, size, world_size):
    ranks = modules(NoisePaddedMNIST, world_size, eval_batch_size=size, batch_size=world_size)
    loaders = [getattr(m, f"{part}_dataloader")() for m in ranks]
    shares = [list(loader) for loader in loaders]
    assert [len(batches) for batches in shares] == [len(loader) for loader in loaders]
    assert equal(joined(batch for batches in shares for batch in batches), ranks[0].samples(part, 0, 500))


@pytest.mark.parametrize("num_samples", [0, 1, 2, 5, 12, 13])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_no_sample_is_repeated_or_left_out_and_all_ranks_have_equally_many_batches(num_samples, world_size, size):
    ranks = modules(PermutedMNIST, world_size, num_samples=num_samples, eval_batch_size=size, batch_size=world_size)
    shares = [list(m.val_dataloader()) for m in ranks]
    assert len({len(batches) for batches in shares}) == 1  # a rank with fewer would leave the others waiting
    assert all(len(labels) <= size for batches in shares for _, labels in batches)
    counts = [sum(len(labels) for _, labels in batches) for batches in shares]
    assert sum(counts) == num_samples
    assert max(counts) - min(counts) <= 1
    if num_samples:
        expected = ranks[0].samples("val", 0, num_samples)
        assert equal(joined(batch for batches in shares for batch in batches), expected)


@pytest.mark.parametrize("kind", [PermutedMNIST, NoisePaddedMNIST])
def test_an_empty_batch_has_the_usual_shape(kind):
    (alone,) = modules(kind, 1)
    (some, labels), (none, no_labels) = alone.samples("val", 3, 5), alone.samples("val", 3, 3)
    assert (none.shape[0], none.shape[1:], none.dtype) == (0, some.shape[1:], some.dtype)
    assert (no_labels.shape, no_labels.dtype) == ((0,), labels.dtype)


def test_a_batch_that_ranks_cannot_share_equally_is_refused():
    module = PermutedMNIST(images="mnist-5k-v1", batch_size=128)
    module.setup()  # without a trainer, as a job does before it has one
    module.trainer = Rank(0, 3)
    with pytest.raises(UsageError) as caught:
        module.setup("fit")
    assert str(caught.value) == (
        "batch_size is 128, which 3 devices cannot share equally: use a multiple of 3, or a number of devices that "
        "divides 128"
    )


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("num_samples", [0, 1, 7, 8, 6_000])
def test_rank_0_has_a_largest_share(num_samples, world_size):
    sizes = [stop - start for start, stop in (Share(rank, world_size).of(num_samples) for rank in range(world_size))]
    assert max(sizes) == sizes[0] == Share(0, world_size).largest(num_samples)


def test_a_trainer_that_has_finished_does_not_count():
    """As after a fit of forked processes, which this process was none of."""
    module = modules(PermutedMNIST, 2)[0]
    assert module.share == Share(0, 2)
    module.trainer.state = TrainerState(status=TrainerStatus.FINISHED, fn=TrainerFn.FITTING)
    assert equal(joined(module.test_dataloader()), module.samples("test", 0, 500))
    assert equal(next(iter(module.train_dataloader())), module.train_batch(0))
