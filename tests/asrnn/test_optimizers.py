"""Test that the optimisers of a classifier step as torch's do, and that settings out of range are refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training_support import QUIET, C, classifier, loader, trainer

from asrnn import SequenceClassifier, build_model
from asrnn.errors import UnknownNameError, UsageError

pytestmark = QUIET


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
    assert after["test/accuracy"] > 0.8  # chance is 0.33; each of the five reaches 0.95 or more


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


def test_a_rate_for_structured_parameters_is_refused_without_such_parameters() -> None:
    with pytest.raises(UsageError, match="for models whose cells have structured parameters; remove it"):
        classifier(structured_learning_rate=0.01).configure_optimizers()
    with pytest.raises(UsageError, match="structured_learning_rate must be above 0, or None, not 0"):
        classifier(structured_learning_rate=0)


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


def test_without_gradient_clip_norm_the_trainer_clips() -> None:
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


def test_frozen_parameters_do_not_change_and_a_model_of_frozen_parameters_is_refused() -> None:
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
