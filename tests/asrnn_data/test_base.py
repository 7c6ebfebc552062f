import copy
import functools
import inspect
import pickle
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerState
from recording import Recorder, equal, trainer

from asrnn.errors import MissingDataError, UnknownNameError, UsageError
from asrnn_data import NoisePaddedCIFAR10, NoisePaddedMNIST, PermutedMNIST, PixelCIFAR10, PixelMNIST, noise
from asrnn_data.batches import epoch_order
from asrnn_data.noise import noise_sample
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


def test_a_batch_is_sequences_with_classes():
    x, y = module(batch_size=7).train_batch(0)
    assert (x.shape, x.dtype) == ((7, 784, 1), torch.float32)
    assert (y.shape, y.dtype) == ((7,), torch.int64)


@pytest.mark.parametrize("kind", [PixelMNIST, PermutedMNIST, NoisePaddedMNIST])
def test_a_batch_lies_in_memory_step_by_step(kind):
    built = module(kind, batch_size=7)
    for x, _ in (built.train_batch(3), built.samples("val", 0, 5), built.samples("test", 2, 2)):
        assert x.transpose(0, 1).is_contiguous()


def test_the_sizes_of_the_data_module():
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


def test_training_noise_differs_in_each_step_and_each_epoch():
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
    assert not np.array_equal(epoch_order(0, 1, 4_000), order)
    assert not np.array_equal(epoch_order(1, 0, 4_000), order)


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
def test_evaluation_counts_all_published_test_samples_once(data_dir, mnist, size):
    built = PixelMNIST(data_dir, eval_batch_size=size)
    built.setup("test")
    batches = list(built.test_dataloader())
    assert sum(len(y) for _, y in batches) == 10_000
    assert torch.equal(torch.cat([y for _, y in batches]), mnist["test"].labels)
    pixels = torch.cat([x for x, _ in batches]).mul(255).round().to(torch.uint8)
    assert torch.equal(pixels.view(-1, 1, 28, 28), mnist["test"].images)


def test_evaluation_does_not_depend_on_batch_size_and_seed():
    small, large = (
        module(NoisePaddedMNIST, eval_batch_size=77),
        module(NoisePaddedMNIST, eval_batch_size=250, seed=9),
    )
    for part in ("val_dataloader", "test_dataloader"):
        a, b = (torch.cat([x for x, _ in getattr(built, part)()]) for built in (small, large))
        assert torch.equal(a, b)


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)  # and fill what is not yet written with NaN
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", [PermutedMNIST, NoisePaddedMNIST])
@pytest.mark.parametrize(
    "setting",
    [
        lambda: torch.device("meta"),
        lambda: default_dtype(torch.float64),
        lambda: default_dtype(torch.bfloat16),
        deterministic,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
    ids=["device", "float64", "bfloat16", "deterministic", "inference", "autocast"],
)
def test_torch_defaults_change_no_batch(setting, kind, monkeypatch):
    monkeypatch.setattr("asrnn_data.base.load_images", load_images)
    expected = [
        module(kind, batch_size=8).train_batch(1),
        noise_sample("per-sample-v1"),
    ]
    for made_once in (noise._compiled, noise._counters, noise._quantiles):
        made_once.cache_clear()
    with setting():
        built = module(kind, batch_size=8)
        found, sample = built.train_batch(1), noise_sample("per-sample-v1")
        assert built.samples("val", 0, 0)[0].dtype == torch.float32
    assert (found[0].device.type, found[0].dtype) == ("cpu", torch.float32)
    assert equal(found, expected[0])
    assert torch.equal(sample, expected[1])
    # what was made and kept under the setting serves training too
    assert equal(built.train_batch(1), expected[0])
    for made_once in (noise._compiled, noise._counters, noise._quantiles):
        made_once.cache_clear()


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


def by_steps(max_steps, **kwargs):
    return trainer(max_steps=max_steps, **{"check_val_every_n_epoch": None, "val_check_interval": 3, **kwargs})


def assert_walked(seen, built, steps):
    assert len(seen) == len(steps)
    for found, step in zip(seen, steps, strict=True):
        assert equal(found, built.train_batch(step)), f"step {step}"


@pytest.mark.parametrize("kwargs", [{}, {"num_sanity_val_steps": 2}, {"limit_train_batches": 3}])
def test_a_trainer_sees_each_step_once_across_epochs(kwargs):
    model, built = Recorder(), PixelMNIST(images=EMBEDDED, batch_size=900)
    by_steps(10, **kwargs).fit(model, built)
    assert_walked(model.seen["train"], built, range(10))


def test_a_trainer_validates_at_its_interval_and_tests_every_sample_once():
    model, built = Recorder(), PermutedMNIST(images=EMBEDDED, batch_size=900)
    fitted = by_steps(5)
    fitted.fit(model, built)
    assert_walked(model.seen["train"], built, range(5))
    assert sum(len(y) for _, y in model.seen["val"]) == 500  # once, after step 3
    fitted.test(model, built, verbose=False)
    assert sum(len(y) for _, y in model.seen["test"]) == 500


@pytest.mark.parametrize("stop", [3, 4, 6])
def test_a_resumed_trainer_continues_with_the_next_step(tmp_path, stop):
    first, built = by_steps(stop), PixelMNIST(images=EMBEDDED, batch_size=900)
    first.fit(Recorder(), built)
    first.save_checkpoint(tmp_path / "at.ckpt")
    model, built = Recorder(), PixelMNIST(images=EMBEDDED, batch_size=900)
    by_steps(11).fit(model, built, ckpt_path=tmp_path / "at.ckpt", weights_only=True)
    assert_walked(model.seen["train"], built, range(stop, 11))


def test_batches_are_made_on_the_trainer_s_device_and_stay_there():
    device = torch.device("meta")  # any that is not the CPU
    built = PermutedMNIST(images=EMBEDDED)
    strategy = type("Strategy", (), {"root_device": device})()
    built.trainer = type("Elsewhere", (), {"state": TrainerState(), "strategy": strategy})()
    built.setup()
    batch = built.train_batch(0)
    assert {part.device for part in (*batch, *built.samples("val", 0, 4), built._permutation)} == {device}
    assert built.transfer_batch_to_device(batch, device, 0) is batch


def test_images_are_read_once_for_all_stages_and_again_for_another_device():
    built = module()
    before = built._sources
    built.setup("test")
    assert built._sources is before
    strategy = type("Strategy", (), {"root_device": torch.device("meta")})()
    built.trainer = type("Elsewhere", (), {"state": TrainerState(), "strategy": strategy})()
    built.setup("fit")
    assert {part.device.type for part in (*built.train_batch(0), *built.samples("val", 0, 4))} == {"meta"}
    built.trainer = None
    built.setup()
    assert equal(built.train_batch(0), module().train_batch(0))


def test_copies_give_the_same_batches():
    built = module(NoisePaddedMNIST, batch_size=8, noise="shared-v1")
    for copied in (copy.deepcopy(built), pickle.loads(pickle.dumps(built))):  # noqa: S301 - made here
        assert equal(copied.train_batch(3), built.train_batch(3))


def test_repr_and_hyper_parameters_hold_the_arguments(tmp_path):
    built = PermutedMNIST(tmp_path, images=EMBEDDED, seed=3, permutation="lem-5544")
    expected = {"data_dir": str(tmp_path), "images": EMBEDDED, "batch_size": 128, "seed": 3, "eval_batch_size": 250}
    assert dict(built.hparams) == {**expected, "permutation": "lem-5544"}
    assert str(built) == repr(built)
    assert repr(built).startswith(f"PermutedMNIST(data_dir='{tmp_path}', images='{EMBEDDED}', batch_size=128, seed=3")
    assert dict(type(built)(**built.hparams).hparams) == dict(built.hparams)


def test_a_data_module_is_restored_from_a_checkpoint(tmp_path):
    built, fitted = NoisePaddedMNIST(images=EMBEDDED, batch_size=900, seed=4, noise="shared-v1"), trainer(max_steps=0)
    fitted.fit(Recorder(), built)
    fitted.save_checkpoint(tmp_path / "at.ckpt")
    loaded = NoisePaddedMNIST.load_from_checkpoint(tmp_path / "at.ckpt", weights_only=True, eval_batch_size=50)
    assert dict(loaded.hparams) == {**built.hparams, "eval_batch_size": 50}
    assert loaded.variants == {"noise": "shared-v1"}


@pytest.mark.parametrize("kind", [PixelMNIST, PermutedMNIST, NoisePaddedMNIST, PixelCIFAR10, NoisePaddedCIFAR10])
def test_a_signature_names_every_argument(kind):
    named = inspect.signature(kind).parameters
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in named.values())
    assert set(named) == {"data_dir", "images", "batch_size", "seed", "eval_batch_size", *kind.task.variants}
    for setting, assets in kind.task.variants.items():
        assert named[setting].default == assets[0]


class Fetching:
    """A stand-in for the network, which has the image set or does not answer."""

    def __init__(self, monkeypatch, error=None):
        self.asked, self.error = [], error
        monkeypatch.setattr("asrnn_data.base.prepare", self)
        monkeypatch.setattr("asrnn_data.base.images_present", lambda name, data_dir: name == EMBEDDED)

    def __call__(self, data_dir, images, report):
        self.asked.append((data_dir, images))
        if self.error:
            raise self.error


def test_only_missing_images_are_fetched(monkeypatch, tmp_path):
    network = Fetching(monkeypatch)
    PixelMNIST(images=EMBEDDED).prepare_data()
    assert network.asked == []
    PermutedMNIST(tmp_path).prepare_data()
    PixelCIFAR10(images="cifar10-5k-v1").prepare_data()
    assert network.asked == [(str(tmp_path), ["mnist"]), (None, ["cifar10-5k-v1"])]


def test_without_network_the_message_names_the_missing_files(monkeypatch, tmp_path):
    network = Fetching(monkeypatch, MissingDataError("cannot fetch it: no network"))
    with pytest.raises(MissingDataError) as raised:
        trainer(max_steps=1).fit(Recorder(), PermutedMNIST(tmp_path))
    assert network.asked == [(str(tmp_path), ["mnist"])]
    with pytest.raises(MissingDataError) as expected:
        load_images("mnist", tmp_path)
    assert str(raised.value) == str(expected.value)


def test_checkpoints_can_be_read_if_sizes_and_seeds_are_numpy_integers() -> None:
    data = PermutedMNIST(images="mnist-5k-v1", batch_size=np.int64(8), seed=np.int64(1), eval_batch_size=np.int32(9))
    assert {type(data.hparams[name]) for name in ("batch_size", "seed", "eval_batch_size")} == {int}
    with pytest.raises(TypeError):
        PermutedMNIST(images="mnist-5k-v1", batch_size=8.5)
