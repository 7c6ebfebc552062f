"""The LightningModule: what it counts, how it steps, and what it refuses."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
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


def classifier(**options) -> SequenceClassifier:
    model = build_model("antisymmetric", input_size=C, hidden_size=16, num_outputs=C, seed=0, epsilon=0.1)
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
        ("adagrad", {}, lambda p: torch.optim.Adagrad(p, 0.2, weight_decay=0.01)),
        ("adam", {}, lambda p: torch.optim.Adam(p, 0.2, weight_decay=0.01)),
        ("adamw", {}, lambda p: torch.optim.AdamW(p, 0.2, weight_decay=0.01)),
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
