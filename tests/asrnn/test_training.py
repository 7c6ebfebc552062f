"""The LightningModule: what it counts, how it steps, and what it refuses."""

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
from torch.utils.data import DataLoader, TensorDataset

from asrnn import SequenceClassifier, build_model
from asrnn.errors import UnknownNameError, UsageError

C = 3
pytestmark = [
    # Lightning advises loader processes; these data sets are of a few kilobytes.
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*`val_dataloader`. Skipping val loop:UserWarning"),  # meant here
    pytest.mark.filterwarnings("ignore:GPU available but not used:UserWarning"),
    # Lightning 2.6 asks torch 2.14 for a leaf in a way that torch means to drop.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


def loader(num_samples: int, batch_size: int, seed: int = 0, shuffle: bool = False) -> DataLoader:
    """Sequences whose class is the channel that fires at one of the first steps."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, C, (num_samples,), generator=generator)
    x = 0.1 * torch.randn(num_samples, 8, C, generator=generator)
    x[torch.arange(num_samples), torch.randint(0, 4, (num_samples,), generator=generator), labels] += 2
    return DataLoader(TensorDataset(x, labels), batch_size=batch_size, shuffle=shuffle)


def trainer(**options) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


def classifier(seed: int = 0, **options) -> SequenceClassifier:
    model = build_model("antisymmetric", input_size=C, hidden_size=16, num_outputs=C, seed=seed, epsilon=0.1)
    return SequenceClassifier(model, num_classes=C, **options)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_it_learns(optimizer: str) -> None:
    torch.manual_seed(0)
    rate = {"sgd": 0.1, "adagrad": 0.1}.get(optimizer, 0.02)
    module, run = classifier(optimizer=optimizer, learning_rate=rate), trainer(max_epochs=8)
    before = trainer().test(module, loader(100, 32, seed=2), verbose=False)[0]
    run.fit(module, loader(200, 25, seed=1), loader(50, 20, seed=3))
    assert set(run.callback_metrics) == {"train/loss", "val/loss", "val/accuracy", "val/samples"}
    after = run.test(module, loader(100, 32, seed=2), verbose=False)[0]
    assert after["test/loss"] < 0.7 * before["test/loss"]
    assert after["test/accuracy"] > 0.8  # chance is 0.33; each of the four reaches 0.95 or more


def test_structured_parameters_have_a_rate_of_their_own_and_no_decay() -> None:
    """Two layers, trained by plain gradient descent: each change is the gradient times the rate, plus the decay."""
    model = build_model("exprnn", input_size=C, hidden_size=6, num_outputs=C, seed=0, num_layers=2)
    options = {"momentum": 0.0, "weight_decay": 0.5}
    module = SequenceClassifier(
        model, num_classes=C, optimizer="sgd", learning_rate=0.1, structured_learning_rate=0.01, **options
    )
    optimizer = module.configure_optimizers()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    F.cross_entropy(module(torch.randn(4, 5, C)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    own = [name for name in before if name.endswith("weight_hh")]
    assert len(own) == 2
    for name, parameter in model.named_parameters():
        rate, decay = (0.01, 0.0) if name in own else (0.1, 0.5)
        expected = before[name] - rate * (parameter.grad + decay * before[name])
        torch.testing.assert_close(parameter, expected)


def test_a_rate_for_structured_parameters_needs_some() -> None:
    with pytest.raises(UsageError, match="for models whose cells have structured parameters; remove it"):
        classifier(structured_learning_rate=0.01).configure_optimizers()
    with pytest.raises(UsageError, match="structured_learning_rate must be above 0, or None, not 0"):
        classifier(structured_learning_rate=0)


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


def test_validation_counts_likewise_and_starts_anew_each_time() -> None:
    module, run = classifier(), trainer()
    for _ in range(2):
        (found,) = run.validate(module, loader(33, 8), verbose=False)
        assert found["val/samples"] == 33


def test_a_loss_that_is_no_number_stays_one() -> None:
    module, data = classifier(), loader(10, 4)
    data.dataset.tensors[0][5] = math.nan  # one sample of ten
    (found,) = trainer().test(module, data, verbose=False)
    assert math.isnan(found["test/loss"])
    assert found["test/samples"] == 10


def step_by_hand(module: SequenceClassifier, optimizer: torch.optim.Optimizer, num_steps: int, clip=None) -> None:
    batches = list(loader(40, 10, seed=1))
    for k in range(num_steps):
        x, labels = batches[k % len(batches)]
        optimizer.zero_grad()
        F.cross_entropy(module.model(x), labels).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(module.model.parameters(), clip)
        optimizer.step()


@pytest.mark.parametrize(
    ("name", "options", "by_hand"),
    [
        ("sgd", {"momentum": 0.5}, lambda p: torch.optim.SGD(p, 0.2, momentum=0.5, weight_decay=0.01)),
        ("adagrad", {}, lambda p: torch.optim.Adagrad(p, 0.2, weight_decay=0.01, fused=True)),
        ("rmsprop", {}, lambda p: torch.optim.RMSprop(p, 0.2, weight_decay=0.01)),
        ("adam", {}, lambda p: torch.optim.Adam(p, 0.2, weight_decay=0.01, fused=True)),
        ("adamw", {}, lambda p: torch.optim.AdamW(p, 0.2, weight_decay=0.01, fused=True)),
    ],
)
@pytest.mark.parametrize("clip", [None, 0.01])
def test_steps_are_those_of_torch(name: str, options: dict, by_hand, clip: float | None) -> None:
    common = {"learning_rate": 0.2, "weight_decay": 0.01, "gradient_clip_norm": clip}
    module, twin = classifier(optimizer=name, **common, **options), classifier()
    trainer(max_steps=6).fit(module, loader(40, 10, seed=1))
    step_by_hand(twin, by_hand(twin.model.parameters()), 6, clip)
    for ours, theirs in zip(module.model.parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Sums(nn.Module):
    """Reads the sum of each channel, by a matrix that lies in memory in another order, or with gaps."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(1) @ self.weight


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("order", ["transposed", "with gaps"])
def test_parameters_in_any_order_in_memory_are_trained_alike(optimizer: str, order: str) -> None:
    values = torch.randn(C, C, generator=torch.Generator().manual_seed(0))
    strange = values.t().contiguous().t() if order == "transposed" else torch.stack([values, values], 2)[..., 0]
    found = []
    for weight in (values.clone(), strange):
        module = SequenceClassifier(Sums(weight), num_classes=C, optimizer=optimizer, learning_rate=0.1)
        trainer(max_steps=4).fit(module, loader(40, 10, seed=1))
        found.append(module.model.weight.detach())
    assert not torch.equal(found[0], values)
    # Fused steps and others round differently; those of another place in memory are off by the size of a weight.
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


class Late(nn.Module):
    """Has a part that is used from its third step on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.first, self.later = nn.Linear(C, C), nn.Linear(C, C)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        logits = self.first(x.sum(1))
        return logits + self.later(x[:, 0]) if self.calls > 2 else logits


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_a_parameter_may_have_its_first_gradient_later(optimizer: str) -> None:
    module = SequenceClassifier(Late(), num_classes=C, optimizer=optimizer, learning_rate=0.1)
    before = module.model.later.weight.detach().clone()
    trainer(max_steps=4).fit(module, loader(40, 10, seed=1))
    assert not torch.equal(module.model.later.weight, before)


def test_without_a_norm_of_its_own_the_trainer_clips() -> None:
    module, twin = classifier(optimizer="sgd", learning_rate=0.2), classifier()
    trainer(max_steps=3, gradient_clip_val=0.01).fit(module, loader(40, 10, seed=1))
    step_by_hand(twin, torch.optim.SGD(twin.model.parameters(), 0.2, momentum=0.9), 3, clip=0.01)
    for ours, theirs in zip(module.model.parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_cosine_ends_at_zero_and_stays_there() -> None:
    module = classifier(optimizer="sgd", learning_rate=0.3, schedule="cosine", schedule_steps=4)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.3 * (1 + math.cos(math.pi * min(k, 4) / 4)) / 2 for k in range(7)]
    assert rates == pytest.approx(expected, rel=1e-12, abs=1e-15)  # the same formula in another order
    assert configured["lr_scheduler"]["interval"] == "step"


def test_steps_multiply_the_rate_as_torchs_own_schedule_does() -> None:
    module = classifier(
        optimizer="sgd", learning_rate=0.3, schedule="steps", schedule_steps=(2, np.int64(5)), schedule_factor=0.1
    )
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    twin = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.3)
    expected = torch.optim.lr_scheduler.MultiStepLR(twin, milestones=[2, 5], gamma=0.1)
    for step in range(8):
        # torch multiplies what is there again and again, which rounds once more a step.
        assert optimizer.param_groups[0]["lr"] == pytest.approx(twin.param_groups[0]["lr"], rel=1e-12), step
        for each in (optimizer, twin, schedule, expected):
            each.step()
    assert configured["lr_scheduler"]["interval"] == "step"


def test_the_schedule_advances_with_the_steps_of_a_fit() -> None:
    module = classifier(optimizer="sgd", learning_rate=0.3, schedule="cosine", schedule_steps=4)
    run = trainer(max_steps=4)
    run.fit(module, loader(40, 10))
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "adamm"}, UnknownNameError, "unknown optimizer 'adamm'; did you mean 'adam'?"),
        ({"schedule": "cosin"}, UnknownNameError, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"schedule": "cosine"}, UsageError, "schedule_steps must be above 0 for 'cosine', not None"),
        ({"schedule": "steps"}, UsageError, "schedule_steps must be growing numbers above 0 for 'steps', not None"),
        (
            {"schedule": "steps", "schedule_steps": [4, 8.0], "schedule_factor": 0.1},
            UsageError,
            "schedule_steps must be growing numbers above 0 for 'steps', not [4, 8.0]",
        ),
        (
            {"schedule": "steps", "schedule_steps": [4, 4], "schedule_factor": 0.1},
            UsageError,
            "schedule_steps must be growing numbers above 0 for 'steps', not [4, 4]",
        ),
        (
            {"schedule": "steps", "schedule_steps": [4], "schedule_factor": 1},
            UsageError,
            "schedule_factor must be above 0 and below 1 for 'steps', not 1",
        ),
        ({"learning_rate": 0}, UsageError, "learning_rate must be above 0, not 0"),
        ({"learning_rate": math.nan}, UsageError, "learning_rate must be above 0, not nan"),
        ({"momentum": 1.0}, UsageError, "momentum must be at least 0 and below 1, not 1.0"),
        ({"weight_decay": -1}, UsageError, "weight_decay must be at least 0, not -1"),
        ({"gradient_clip_norm": 0}, UsageError, "gradient_clip_norm must be above 0, or None, not 0"),
    ],
)
def test_mistakes(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        classifier(**options)
    assert str(caught.value).startswith(message)


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


def test_a_model_of_one_s_own_is_given_again(tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(8 * C, C))

    path = checkpoint(SequenceClassifier(own(), num_classes=C, learning_rate=0.5), tmp_path / "at.ckpt")
    with pytest.raises(
        UsageError, match=r"there is no model: give one, as in load_from_checkpoint\(path, model=model\)"
    ):
        SequenceClassifier.load_from_checkpoint(path, weights_only=True)
    loaded = SequenceClassifier.load_from_checkpoint(path, weights_only=True, model=own())
    assert loaded.learning_rate == 0.5


def test_a_checkpoint_names_no_code_to_run(tmp_path: Path) -> None:
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


def test_frozen_parameters_stay_and_a_model_without_others_is_refused() -> None:
    module = classifier(learning_rate=0.1, weight_decay=0.1)
    before = {name: value.clone() for name, value in module.model.recurrence.state_dict().items()}
    module.model.recurrence.requires_grad_(False)
    readout = module.model.readout.weight.detach().clone()
    trainer(max_steps=3).fit(module, loader(40, 10))
    assert all(torch.equal(value, before[name]) for name, value in module.model.recurrence.state_dict().items())
    assert not torch.equal(module.model.readout.weight, readout)
    module.model.requires_grad_(False)
    with pytest.raises(UsageError, match="RecurrentModel has no parameter to train: validate or test it without fit"):
        trainer(max_steps=3).fit(module, loader(40, 10))


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


def test_lightning_s_own_callbacks_find_what_is_logged(tmp_path: Path) -> None:
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
    assert best.best_model_score == run.callback_metrics["val/accuracy"] or best.best_model_score > 0
    loaded = SequenceClassifier.load_from_checkpoint(best.best_model_path, weights_only=True)
    assert loaded.hparams == module.hparams
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        found = [float(row["lr-SGD"]) for row in csv.DictReader(file) if row.get("lr-SGD")]
    assert found == pytest.approx([0.15 * (1 + math.cos(math.pi * step / 8)) for step in range(8)], rel=1e-6)
