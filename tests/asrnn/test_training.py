"""Test the LightningModule: what it counts, what it logs, and what its checkpoints hold."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from training_support import QUIET, C, classifier, loader, trainer

from asrnn import SequenceClassifier, build_model
from asrnn.errors import UsageError

pytestmark = QUIET


@pytest.mark.parametrize("batch_size", [1, 7, 32, 101, 200])
def test_every_sample_counts_once_whatever_the_batches(batch_size: int) -> None:
    module = classifier()
    (found,) = trainer().test(module, loader(101, batch_size), verbose=False)
    x, labels = loader(101, 101).dataset.tensors
    logits = module(x).double()
    assert found["test/samples"] == 101
    # Accuracy is a quotient of two integers, kept in float32.
    assert found["test/accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-7)
    # A float32 sum of at most 101 losses of order 1. An unweighted mean of batch means differs by 1e-3 here.
    assert found["test/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


def test_each_validation_counts_from_zero() -> None:
    module, run = classifier(), trainer()
    for _ in range(2):
        (found,) = run.validate(module, loader(33, 8), verbose=False)
        assert found["val/samples"] == 33


def test_a_loss_that_is_not_a_number_makes_the_mean_one() -> None:
    module, data = classifier(), loader(10, 4)
    data.dataset.tensors[0][5] = math.nan  # one sample of ten
    (found,) = trainer().test(module, data, verbose=False)
    assert math.isnan(found["test/loss"])
    assert found["test/samples"] == 10


def test_any_module_that_gives_logits_can_be_trained() -> None:
    module = SequenceClassifier(nn.Sequential(nn.Flatten(), nn.Linear(8 * C, C)), num_classes=C)
    trainer(max_steps=2).fit(module, loader(40, 10))


def test_predictions_are_logits_with_and_without_labels() -> None:
    module = classifier()
    data = loader(33, 8)
    x, _ = data.dataset.tensors
    uneven = DataLoader([(x[:8], 0), (x[8:8], 0), (x[8:], 0)], batch_size=None)  # as a rank without samples sees them
    for batches in (data, DataLoader(x, batch_size=8), uneven):
        found = torch.cat(trainer().predict(module, batches))
        # A batch of another size may be multiplied in another order.
        torch.testing.assert_close(found, module(x).detach(), rtol=1e-5, atol=1e-6)


SETTINGS = {
    "optimizer": "sgd",
    "learning_rate": np.float32(0.25),  # as a sweep over numpy values gives it
    "momentum": 0.5,
    "weight_decay": 0.125,
    "gradient_clip_norm": 2,
    "schedule": "cosine",
    "schedule_steps": np.int64(40),
}


def checkpoint(module: SequenceClassifier, path: Path) -> Path:
    run = trainer(max_steps=2)
    run.fit(module, loader(40, 10))
    run.save_checkpoint(path)
    return path


@pytest.mark.parametrize("given", [False, True])
def test_a_checkpoint_gives_the_classifier_back(tmp_path: Path, given: bool) -> None:
    module = classifier(**SETTINGS)
    path = checkpoint(module, tmp_path / "at.ckpt")
    model = {"model": classifier(seed=1).model} if given else {}
    loaded = SequenceClassifier.load_from_checkpoint(path, weights_only=True, **model)
    assert {**loaded.hparams, "model": None} == {**module.hparams, "model": None}
    optimizer = loaded.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, torch.optim.SGD)
    group = optimizer.param_groups[0]
    assert (group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.25, 0.5, 0.125)
    assert (loaded.gradient_clip_norm, loaded.schedule_steps, loaded.num_classes) == (2, 40, C)
    x, _ = loader(5, 5).dataset.tensors
    assert torch.equal(loaded(x), module(x))


def test_a_checkpoint_of_a_users_model_is_loaded_with_the_model(tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(8 * C, C))

    path = checkpoint(SequenceClassifier(own(), num_classes=C, learning_rate=0.5), tmp_path / "at.ckpt")
    with pytest.raises(
        UsageError, match=r"there is no model: give one, as in load_from_checkpoint\(path, model=model\)"
    ):
        SequenceClassifier.load_from_checkpoint(path, weights_only=True)
    loaded = SequenceClassifier.load_from_checkpoint(path, weights_only=True, model=own())
    assert loaded.learning_rate == 0.5


def test_a_checkpoint_cannot_name_code_to_run(tmp_path: Path) -> None:
    file = tmp_path / "cell.py"
    file.write_text("raise SystemExit('this must not run')\nclass Cell: ...\n", encoding="utf-8")
    for name in (f"{file}:Cell", "os:system", "torch.nn:GRU", "torch-nn-gru"):
        with pytest.raises(UsageError, match="only built-in cells are built from their names"):
            SequenceClassifier({"model": name, "input_size": 1, "hidden_size": 4, "num_outputs": 3})


def test_a_stacked_model_is_built_again_as_it_was(tmp_path: Path) -> None:
    options = {"num_layers": 2, "norm": "layer", "residual": True, "readout": "mean", "gamma": 0.1}
    model = build_model("antisymmetric", input_size=C, hidden_size=8, num_outputs=C, **options)
    path = checkpoint(SequenceClassifier(model, num_classes=C), tmp_path / "at.ckpt")
    loaded = SequenceClassifier.load_from_checkpoint(path, weights_only=True)
    x, _ = loader(5, 5).dataset.tensors
    assert torch.equal(loaded(x), model(x))


class Odd(nn.Module):
    """Keeps what a state dict may hold beside real tensors: complex parameters, and state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(C, C, dtype=torch.complex64))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (x[:, 0].to(torch.complex64) @ self.weight).abs()

    def get_extra_state(self) -> dict:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict) -> None:
        self.calls = state["calls"]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_complex_parameters_and_extra_state_are_trained_and_kept(tmp_path: Path, optimizer: str) -> None:
    module = SequenceClassifier(Odd(), num_classes=C, optimizer=optimizer, gradient_clip_norm=1.0)
    before = module.model.weight.detach().clone()
    path = checkpoint(module, tmp_path / "at.ckpt")
    change = (module.model.weight - before).detach()
    assert change.real.abs().max() > 0
    assert change.imag.abs().max() > 0
    loaded = SequenceClassifier.load_from_checkpoint(path, weights_only=True, model=Odd())
    assert torch.equal(loaded.model.weight, module.model.weight)
    assert loaded.model.calls == module.model.calls == 2


@pytest.mark.filterwarnings("ignore:scans run in Python:RuntimeWarning")  # as in bfloat16 only the loop does
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_losses_are_summed_in_float32_or_better_whatever_the_precision(precision: str) -> None:
    module, data = classifier(gradient_clip_norm=1.0), loader(300, 64)
    losses: list[torch.Tensor] = []

    class KeepsLosses(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            losses.append(outputs["loss"])

    run = trainer(max_steps=1, precision=precision, callbacks=[KeepsLosses()])
    run.fit(module, data)
    assert [loss.dtype for loss in losses] == [torch.float64 if precision == "64-true" else torch.float32]
    (found,) = run.test(module, data, verbose=False)
    x, labels = data.dataset.tensors
    expected = F.cross_entropy(module.double()(x.double()), labels).item()
    assert found["test/samples"] == 300
    # bfloat16 has 8 bits, so that logits of order 1 are off by 2^-9 each; a mean of losses that is kept in it would be
    # off by as much again with each batch.
    assert found["test/loss"] == pytest.approx(expected, rel=1e-5 if precision == "64-true" else 1e-2)


def test_lightnings_callbacks_find_the_logged_values(tmp_path: Path) -> None:
    module = classifier(optimizer="sgd", learning_rate=0.3, schedule="cosine", schedule_steps=8)
    best = ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max", filename="best")
    stopping = EarlyStopping("val/loss", patience=1, min_delta=1e9)
    rates = LearningRateMonitor(logging_interval="step")
    logger = CSVLogger(tmp_path, name="", version="")
    run = Trainer(
        accelerator="cpu",
        max_epochs=9,
        callbacks=[best, stopping, rates],
        logger=logger,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run.fit(module, loader(40, 10), loader(20, 10))
    assert run.current_epoch == 2  # nothing improves by 1e9
    assert best.best_model_score >= run.callback_metrics["val/accuracy"]  # that of the last epoch
    loaded = SequenceClassifier.load_from_checkpoint(best.best_model_path, weights_only=True)
    assert loaded.hparams == module.hparams
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        found = [float(row["lr-SGD"]) for row in csv.DictReader(file) if row.get("lr-SGD")]
    assert found == pytest.approx([0.15 * (1 + math.cos(math.pi * step / 8)) for step in range(8)], rel=1e-6)
