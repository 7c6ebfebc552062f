import functools

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from asrnn.errors import UnknownNameError, UsageError
from asrnn_data import NoisePaddedMNIST, PermutedMNIST, PixelMNIST
from asrnn_data.batches import epoch_order
from asrnn_data.sources import load_images
from asrnn_data.splits import split_images

EMBEDDED = "mnist-5k-v1"


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    """Read the images once for all these tests; that they are read rightly is test_sources' business."""
    monkeypatch.setattr("asrnn_data.base.load_images", load_once)


load_once = functools.cache(load_images)


def module(kind=PixelMNIST, **kwargs):
    built = kind(**{"images": EMBEDDED, "batch_size": 900, **kwargs})  # four steps an epoch, 400 samples dropped
    built.setup()
    return built


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_is_sequences_with_classes():
    x, y = module(batch_size=7).train_batch(0)
    assert (x.shape, x.dtype) == ((7, 784, 1), torch.float32)
    assert (y.shape, y.dtype) == ((7,), torch.int64)


def test_sizes():
    built = PermutedMNIST()  # before setup, and without data
    assert (built.sequence_length, built.input_size, built.num_classes) == (784, 1, 10)
    assert (built.num_train, built.num_val, built.num_test) == (54_000, 6_000, 10_000)
    assert built.steps_per_epoch == 54_000 // 128


def test_a_batch_is_a_function_of_seed_and_step_alone():
    walked, direct = module(NoisePaddedMNIST, batch_size=64), module(NoisePaddedMNIST, batch_size=64)
    for step in (0, 1, 61, 62, 63):  # epochs have 62 steps
        last = walked.train_batch(step)
    torch.manual_seed(5)
    assert equal(last, direct.train_batch(63))
    other = module(NoisePaddedMNIST, batch_size=64, seed=1).train_batch(63)
    assert not torch.equal(last[1], other[1])


def test_training_noise_is_fresh_each_step_and_each_epoch():
    built = module(NoisePaddedMNIST, batch_size=64)  # 62 steps an epoch
    for row in range(3):
        sample = epoch_order(0, 0, 4_000)[row]
        step, twin = divmod(int(np.flatnonzero(epoch_order(0, 1, 4_000) == sample)[0]), 64)
        first, second = built.train_batch(0)[0][row], built.train_batch(62 + step)[0][twin]
        assert torch.equal(first[:28], second[:28])
        assert not torch.equal(first[28:], second[28:])


def test_an_epoch_visits_no_sample_twice_and_drops_the_incomplete_batch():
    built = module()
    order = epoch_order(0, 0, 4_000)
    assert np.array_equal(np.sort(order), np.arange(4_000))
    train = split_images(built.image_set)["train"].indices
    labels = load_images(EMBEDDED)["train"].labels[train[order[:3_600]]]
    assert torch.equal(torch.cat([y for _, y in built.train_dataloader()]), labels)
    assert len(built.train_dataloader()) == 4
    assert equal(built.train_batch(4), next(iter(Resumed(built, 4))))
    assert not np.array_equal(epoch_order(0, 1, 4_000), order)
    assert not np.array_equal(epoch_order(1, 0, 4_000), order)


class Resumed:
    """The batches that a trainer at a given step would see."""

    def __init__(self, built, step):
        self.built, self.step = built, step

    def __iter__(self):
        alone = {"global_rank": 0, "world_size": 1, "accumulate_grad_batches": 1}
        self.built.trainer = type("AtStep", (), {"global_step": self.step, **alone})()
        yield from self.built.train_dataloader()
        self.built.trainer = None


def test_an_epoch_that_was_resumed_ends_where_it_would_have_ended():
    built = module()
    batches = list(Resumed(built, 6))
    assert len(batches) == 2
    assert equal(batches[0], built.train_batch(6))
    assert equal(batches[1], built.train_batch(7))


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("size", [1, 250, 333, 1_000])
def test_evaluation_counts_every_sample_exactly_once_and_in_order(part, size):
    built = module(eval_batch_size=size)
    loader = getattr(built, f"{part}_dataloader")()
    batches = list(loader)
    assert len(batches) == len(loader)
    source, chosen = load_images(EMBEDDED)["train"], split_images(built.image_set)[part].indices
    assert torch.equal(torch.cat([y for _, y in batches]), source.labels[chosen])
    pixels = torch.cat([x for x, _ in batches]).mul(255).round().to(torch.uint8)
    assert torch.equal(pixels.view(500, 1, 28, 28), source.images[chosen])


@pytest.mark.real_data
@pytest.mark.parametrize("size", [250, 768])
def test_ten_thousand_of_ten_thousand_test_samples(data_dir, mnist, size):
    built = PixelMNIST(data_dir, eval_batch_size=size)
    built.setup("test")
    batches = list(built.test_dataloader())
    assert sum(len(y) for _, y in batches) == 10_000
    assert torch.equal(torch.cat([y for _, y in batches]), mnist["test"].labels)
    pixels = torch.cat([x for x, _ in batches]).mul(255).round().to(torch.uint8)
    assert torch.equal(pixels.view(-1, 1, 28, 28), mnist["test"].images)


def test_evaluation_is_the_same_whatever_batch_size_and_seed():
    small, large = (
        module(NoisePaddedMNIST, eval_batch_size=77),
        module(NoisePaddedMNIST, eval_batch_size=250, seed=9),
    )
    for part in ("val_dataloader", "test_dataloader"):
        a, b = (torch.cat([x for x, _ in getattr(built, part)()]) for built in (small, large))
        assert torch.equal(a, b)


def test_validation_and_test_have_different_noise():
    built = module(NoisePaddedMNIST)
    val, test = built.samples("val", 0, 4)[0], built.samples("test", 0, 4)[0]
    assert not any(torch.equal(v[28:], t[28:]) for v in val for t in test)


def test_the_protocol_names_what_is_in_use():
    built = NoisePaddedMNIST(images=EMBEDDED, noise="shared-v1")
    assert built.protocol() == built.task.assets(EMBEDDED, noise="shared-v1")
    assert "shared-v1" in built.protocol()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: PixelMNIST(images="cifar10"), UnknownNameError, "image set of task pixel-mnist"),
        (lambda: PermutedMNIST(permutation="urnn"), UnknownNameError, "unknown permutation"),
        (lambda: PixelMNIST(batch_size=0), UsageError, "batch_size is 0"),
        (lambda: PixelMNIST(images=EMBEDDED, batch_size=4_001), UsageError, "must lie between 1 and 4000"),
        (lambda: PixelMNIST(eval_batch_size=0), UsageError, "eval_batch_size is 0"),
        (lambda: PixelMNIST().train_batch(0), UsageError, "call setup"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


class Recorder(LightningModule):
    """The smallest model that trains, which keeps a copy of what it was given."""

    def __init__(self):
        super().__init__()
        self.readout = torch.nn.Linear(784, 10)
        self.seen = {"train": [], "val": [], "test": []}

    def loss(self, part, batch):
        x, y = batch
        self.seen[part].append((x.clone(), y.clone()))
        return torch.nn.functional.cross_entropy(self.readout(x.flatten(1)), y)

    def training_step(self, batch, index):
        return self.loss("train", batch)

    def validation_step(self, batch, index):
        self.loss("val", batch)

    def test_step(self, batch, index):
        self.loss("test", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def trainer(max_steps, **kwargs):
    return Trainer(
        accelerator="cpu",
        max_steps=max_steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=None,
        **{"val_check_interval": 3, "num_sanity_val_steps": 0, **kwargs},
    )


# Lightning 2.6 builds a class that torch 2.13 and later call deprecated; nothing here can help it.
with_trainer = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


def assert_walked(seen, built, steps):
    assert len(seen) == len(steps)
    for found, step in zip(seen, steps, strict=True):
        assert equal(found, built.train_batch(step)), f"step {step}"


@with_trainer
@pytest.mark.parametrize("kwargs", [{}, {"num_sanity_val_steps": 2}, {"limit_train_batches": 3}])
def test_a_trainer_walks_through_the_steps_once_each_over_epoch_borders(kwargs):
    model, built = Recorder(), PixelMNIST(images=EMBEDDED, batch_size=900)
    trainer(10, **kwargs).fit(model, built)
    assert_walked(model.seen["train"], built, range(10))


@with_trainer
def test_a_trainer_validates_at_its_interval_and_tests_every_sample_once():
    model, built = Recorder(), PermutedMNIST(images=EMBEDDED, batch_size=900)
    fitted = trainer(5)
    fitted.fit(model, built)
    assert_walked(model.seen["train"], built, range(5))
    assert sum(len(y) for _, y in model.seen["val"]) == 500  # once, after step 3
    fitted.test(model, built, verbose=False)
    assert sum(len(y) for _, y in model.seen["test"]) == 500


@with_trainer
@pytest.mark.parametrize("stop", [3, 4, 6])
def test_a_resumed_trainer_goes_on_with_the_next_step(tmp_path, stop):
    first, built = trainer(stop), PixelMNIST(images=EMBEDDED, batch_size=900)
    first.fit(Recorder(), built)
    first.save_checkpoint(tmp_path / "at.ckpt")
    model, built = Recorder(), PixelMNIST(images=EMBEDDED, batch_size=900)
    trainer(11).fit(model, built, ckpt_path=tmp_path / "at.ckpt", weights_only=True)
    assert_walked(model.seen["train"], built, range(stop, 11))


def test_gradient_accumulation_is_refused():
    with pytest.raises(UsageError, match="accumulate_grad_batches must be 1"):
        trainer(2, accumulate_grad_batches=2).fit(Recorder(), PixelMNIST(images=EMBEDDED))


def test_batches_are_made_on_the_trainer_s_device_and_stay_there():
    device = torch.device("meta")  # any that is not the CPU
    built = PermutedMNIST(images=EMBEDDED)
    strategy = type("Strategy", (), {"root_device": device})()
    built.trainer = type("Elsewhere", (), {"global_rank": 0, "world_size": 1, "strategy": strategy})()
    built.setup()
    batch = built.train_batch(0)
    assert {part.device for part in (*batch, *built.samples("val", 0, 4), built._permutation)} == {device}
    assert built.transfer_batch_to_device(batch, device, 0) is batch


def test_images_are_read_once_for_all_stages():
    built = module()
    before = built._sources
    built.setup("test")
    assert built._sources is before
