"""The batches that trainers, plain loops and several processes get from the loaders."""

import functools

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from recording import Recorder, equal, steps_of, trainer

from asrnn.errors import UsageError
from asrnn_data import NoisePaddedMNIST, PixelMNIST
from asrnn_data.sources import load_images

load_once = functools.cache(load_images)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    monkeypatch.setattr("asrnn_data.base.load_images", load_once)


def module(kind=PixelMNIST, **kwargs):
    built = kind(**{"images": "mnist-5k-v1", "batch_size": 900, **kwargs})  # four batches an epoch
    built.setup()
    return built


def fit(bare=False, manual=False, data=None, ckpt_path=None, **switches):
    """The training steps that a fit saw, and how many validation samples."""
    model, data = Recorder(manual), data or module()
    loaders = {"train_dataloaders": data.train_dataloader(), "val_dataloaders": data.val_dataloader()}
    trainer(**switches).fit(
        model, ckpt_path=ckpt_path, weights_only=True, **(loaders if bare else {"datamodule": data})
    )
    return steps_of(model.seen["train"], module()), sum(len(y) for _, y in model.seen["val"])


class MoreEachEpoch(Callback):
    """Accumulate one batch more each epoch, as a user's own callback may."""

    def on_train_epoch_start(self, trainer, pl_module):
        trainer.accumulate_grad_batches = trainer.current_epoch + 1


BOTH = pytest.mark.parametrize("bare", [False, True], ids=["datamodule", "loaders"])


@BOTH
@pytest.mark.parametrize(
    ("switches", "num_batches", "num_val"),
    [
        ({"max_epochs": 3}, 12, 1_500),
        ({"max_steps": 6}, 6, 500),
        ({"max_epochs": 2, "accumulate_grad_batches": 2}, 8, 1_000),
        ({"max_steps": 3, "accumulate_grad_batches": 3}, 7, 500),  # 3 batches, the epoch's last one, 3 more
        ({"max_epochs": 3, "callbacks": [GradientAccumulationScheduler({0: 1, 1: 2})]}, 12, 1_500),
        ({"max_epochs": 3, "callbacks": [MoreEachEpoch()]}, 12, 1_500),
        ({"max_epochs": 3, "reload_dataloaders_every_n_epochs": 1}, 12, 1_500),
        ({"max_epochs": 2, "val_check_interval": 0.5}, 8, 2_000),
        ({"max_epochs": 2, "val_check_interval": 3, "check_val_every_n_epoch": None}, 8, 1_000),
        ({"max_epochs": 2, "limit_val_batches": 1, "num_sanity_val_steps": 2}, 8, 750),
        ({"fast_dev_run": 2}, 2, 500),
        ({"manual": True, "max_epochs": 2}, 8, 1_000),
    ],
)
def test_no_option_of_a_trainer_changes_the_batch_of_a_step(bare, switches, num_batches, num_val):
    assert fit(bare, **switches) == (list(range(num_batches)), num_val)


@BOTH
@pytest.mark.parametrize("limit", [3, 0.75])
def test_limited_epochs_have_the_same_number_of_batches(bare, limit):
    steps, _ = fit(bare, max_epochs=3, limit_train_batches=limit)
    # the data module's trainer goes on with the next step; a loader of its own begins each epoch anew, as torch's do
    assert steps == ([0, 1, 2, 4, 5, 6, 8, 9, 10] if bare else list(range(9)))


@pytest.mark.parametrize(("overfit", "steps"), [(1, [0, 0, 0]), (0.04, [0, 1, 0, 1, 0, 1])])
def test_overfitting_sees_the_same_batches_every_epoch(overfit, steps):
    data, model = module(NoisePaddedMNIST, batch_size=64, eval_batch_size=10), Recorder()
    model.readout = torch.nn.Linear(28_000, 10)  # T times I
    trainer(max_epochs=3, overfit_batches=overfit).fit(model, data)
    assert steps_of(model.seen["train"], data, 4) == steps


@pytest.mark.filterwarnings("ignore:You requested to overfit:UserWarning")
def test_overfitting_batches_of_a_bare_loader_is_refused():
    with pytest.raises(ValueError, match="for overfit_batches, give the trainer the PixelMNIST as its datamodule"):
        fit(True, max_epochs=2, overfit_batches=1)


@pytest.mark.parametrize("stop", [6, 8])
def test_a_second_fit_continues_where_the_first_stopped(stop):
    model, data, fitted = Recorder(), module(), trainer(max_steps=stop)
    fitted.fit(model, data)
    fitted.fit_loop.epoch_loop.max_steps = 11
    fitted.fit(model, data)
    assert steps_of(model.seen["train"], data) == list(range(11))


def test_two_trainers_in_turn_see_the_same_batches():
    data = module()
    for bare in (False, True, False, True):
        assert fit(bare, data=data, max_epochs=2)[0] == list(range(8))


@BOTH
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")  # nothing more is to be saved
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_resumed_fit_continues_with_the_next_batch(bare, accumulated, tmp_path):
    switches = {"max_epochs": 3, "accumulate_grad_batches": accumulated}
    keep = {"save_top_k": -1, "enable_version_counter": False, "filename": "{step}"}
    saved = [
        ModelCheckpoint(tmp_path / "steps", every_n_train_steps=1, **keep),
        ModelCheckpoint(tmp_path / "epochs", every_n_epochs=1, save_on_train_epoch_end=True, **keep),
    ]
    fit(bare, enable_checkpointing=True, callbacks=saved, **switches)
    found = sorted(tmp_path.rglob("*.ckpt"))
    assert len(found) == 12 // accumulated + 3
    for path in found:
        # An epoch has a multiple of `accumulated` batches, so that each step stands for as many.
        done = torch.load(path, weights_only=True)["global_step"] * accumulated
        assert fit(bare, ckpt_path=path, **switches)[0] == list(range(done, 12)), path.name


@pytest.mark.parametrize("anew", [True, False], ids=["a loader an epoch", "one loader"])
def test_each_iteration_of_a_loader_is_the_next_epoch(anew):
    data = module()
    loader = data.train_dataloader()
    seen = [batch for _ in range(3) for batch in (data.train_dataloader() if anew else loader)]
    assert steps_of(seen, data) == list(range(12))


def test_each_iteration_of_a_loader_has_its_own_noise():
    data = module(NoisePaddedMNIST, batch_size=64)  # 62 batches an epoch
    for epoch in range(3):
        assert equal(next(iter(data.train_dataloader())), data.train_batch(62 * epoch))


def test_the_next_epoch_follows_an_iteration_that_was_broken_off():
    data = module()
    next(iter(data.train_dataloader()))
    assert steps_of(data.train_dataloader(), data) == [4, 5, 6, 7]
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)  # as torch's samplers are told
    assert steps_of(loader, data) == [4, 5, 6, 7]


def test_the_state_of_a_loader_resumes_an_iteration():
    data = module()
    loader = data.train_dataloader()
    for _ in zip(range(2), loader):  # noqa: B905 - two batches of four
        pass
    state = loader.state_dict()
    rest, resumed = data.train_dataloader(), module().train_dataloader()
    for each in (rest, resumed):
        each.load_state_dict(state)
        assert steps_of(each, data) == [2, 3]
        assert steps_of(each, data) == [4, 5, 6, 7]
    resumed.load_state_dict(rest.state_dict())  # at the end of an epoch
    assert steps_of(resumed, data) == [8, 9, 10, 11]


def test_a_loader_after_a_fit_begins_the_next_epoch():
    data = module()
    fit(data=data, max_epochs=1)
    assert [steps_of(data.train_dataloader(), data) for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_dataset_of_a_loader_has_the_number_of_samples():
    data = module()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader())
    assert [len(loader.dataset) for loader in loaders] == [4_000, 500, 500, 500]


@BOTH
def test_validation_test_and_prediction_alone_see_every_sample_once(bare):
    data, model, alone = module(eval_batch_size=77), Recorder(), trainer()
    for run, part in ((alone.validate, "val"), (alone.test, "test")):
        run(model, getattr(data, f"{part}_dataloader")() if bare else data, verbose=False)
        labels = torch.cat([y for _, y in model.seen[part]])
        assert torch.equal(labels, data.labels(part))
    predicted = alone.predict(model, data.predict_dataloader() if bare else data)
    assert torch.equal(torch.cat(predicted), data.labels("test"))


def test_processes_share_the_batches_of_bare_loaders(monkeypatch):
    """As torch.distributed tells who this is, where no trainer does."""
    whole, shares = module(batch_size=900), []
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        shares.append((next(iter(module().train_dataloader())), *module().val_dataloader()))
    train, *val = ([torch.cat(parts) for parts in zip(*batches, strict=True)] for batches in zip(*shares, strict=True))
    assert equal(train, whole.train_batch(0))
    assert sum(len(labels) for _, labels in val) == 500
    with pytest.raises(UsageError, match="3 devices cannot share equally"):
        module(batch_size=100)


def test_a_batch_size_that_was_changed_later_is_checked():
    data = module()
    data.batch_size = 5_000  # as Lightning's tuner does
    with pytest.raises(UsageError, match="must lie between 1 and 4000"):
        data.train_dataloader()
