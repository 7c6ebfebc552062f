"""Check that a training that is saved and loaded continues as the uninterrupted one, here and in another process."""

import io
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from asrnn.contract.check import TOLERANCE, check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, listed, passed, skipped
from asrnn.contract.running import RaisedError, calling, largest_change, model_code
from asrnn.contract.spawned import SpawnedError, as_plain, ask
from asrnn.errors import ModelError
from asrnn.models import RecurrentModel

BATCH_SIZE, STEPS, SHORT = 4, 784, 5
"""The batch size, the length of pixel-mnist, and a length over which a carried state is not forgotten."""

ROUNDED = 1e-6
"""The largest relative difference of numbers that differ by the rounding of sums in another order."""

_ADVICE = (
    "what training changes must be a parameter, a buffer of a fixed size or in get_extra_state; a table that can be "
    "computed again is a buffer with persistent=False"
)


@dataclass
class Training:
    """A model and its optimiser, as a job has them."""

    subject: ModelUnderTest
    model: RecurrentModel = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.subject.build().train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)

    def step(self, number: int, num_steps: int) -> float:
        """Take one training step on a new batch, and return the loss.

        Raises:
            RaisedError: the model's code raised an exception.
        """
        x = self.subject.sequences(BATCH_SIZE, num_steps, seed=50 + number)
        labels = torch.arange(BATCH_SIZE, device=x.device) % 2
        with seeded(number), model_code():
            with calling():
                loss = F.cross_entropy(self.model.train()(x), labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return loss.item()

    def validate(self, *lengths: int) -> Tensor:
        """Return the outputs for some batches, as a validation computes them."""
        outputs = []
        for length in lengths or (SHORT, self.subject.length(STEPS)):
            x = self.subject.sequences(BATCH_SIZE + 1, length, seed=90)
            with seeded(0), calling(), torch.inference_mode():
                outputs.append(self.model.eval()(x).clone())
        return torch.cat(outputs)

    def saved(self) -> bytes:
        """Return the content of a checkpoint."""
        with model_code():
            content = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            buffer = io.BytesIO()
            torch.save(content, buffer)
        return buffer.getvalue()

    def load(self, saved: bytes) -> None:
        """Load a checkpoint.

        Raises:
            ModelError: it cannot be read.
            RaisedError: the model refuses it.
        """
        try:
            content: dict[str, Any] = torch.load(io.BytesIO(saved), map_location=self.subject.device, weights_only=True)
        except Exception as error:
            line = next((each for each in str(error).splitlines() if each.strip()), "")
            raise ModelError(
                f"its state dict cannot be read from a checkpoint: {type(error).__name__}: {line}"
            ) from error
        with model_code():
            self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])


@dataclass(frozen=True)
class Continued:
    """The numbers of a training after a checkpoint."""

    losses: list[float]
    outputs: Tensor
    weights: dict[str, Tensor]


def go_on(training: Training) -> Continued:
    """Take the next steps of a training, with a validation between them."""
    before = training.validate()
    losses = [training.step(2, training.subject.length(STEPS)), training.step(3, SHORT)]
    outputs = torch.cat([before, training.validate()])
    weights = {
        name: value.detach().clone() for name, value in training.model.state_dict().items() if isinstance(value, Tensor)
    }
    return Continued(losses, outputs, weights)


def go_on_from(subject: ModelUnderTest, saved: bytes) -> Continued:
    """Build a new model, load a checkpoint, and continue."""
    training = Training(subject)
    training.load(saved)
    return go_on(training)


def interrupted(subject: ModelUnderTest) -> tuple[bytes, Continued]:
    """Train for two steps with a validation between them, save, and continue."""
    training = Training(subject)
    training.step(0, subject.length(STEPS))
    training.validate()
    training.step(1, subject.length(STEPS))
    saved = training.saved()
    return saved, go_on(training)


@check("resume", "hard", needs=("builds", "linear-cost", "deterministic", "same-training", "state-dict", "made-once"))
def resume(subject: ModelUnderTest) -> Verdict:
    """A training that is saved, built anew and loaded goes on as if it never stopped."""
    saved, expected = subject.once(interrupted)
    other = Training(subject)  # what a class or a global keeps is now of another training
    other.step(7, subject.length(STEPS // 4))
    other.validate(SHORT, subject.length(STEPS // 4))
    try:
        found = go_on_from(subject, saved)
    except RaisedError as error:
        lines = " ".join(str(error).split())
        return failed(f"a model that is built anew does not take the checkpoint: {lines}", _ADVICE)
    bound = ROUNDED if torch.device(subject.device).type == "cpu" else TOLERANCE  # a GPU's atomic sums have no order
    what, change = _difference(found, expected, bound)
    if change > bound:
        return failed(
            f"after a checkpoint, {what} differ by {change:.2g} times the largest from those of the training that went "
            "on",
            _ADVICE,
        )
    return passed(
        f"T={subject.length(STEPS)}: the same numbers as without the interruption"
        + (f", to {change:.0g}" if change else ", to the bit")
    )


def _difference(found: Continued, expected: Continued, bound: float) -> tuple[str, float]:
    """Name what differs first by more than a bound: outputs, the loss of the next step, or the result of that step."""
    if len(found.outputs) == len(expected.outputs):
        half = len(found.outputs) // 2
        change = largest_change(found.outputs[:half], expected.outputs[:half])
        if change > bound:
            return "outputs", change
    change = largest_change(torch.tensor(found.losses), torch.tensor(expected.losses))
    if change > bound:
        return "the losses of the next step", change
    worst = largest_change(found.outputs, expected.outputs)
    changes = {
        name: largest_change(found.weights[name], value) if name in found.weights else float("inf")
        for name, value in expected.weights.items()
        if value.is_floating_point() or value.is_complex()
    }
    changed = [name for name, change in changes.items() if change > 10 * bound]
    if changed:
        return f"after the next step {listed(changed)}", max(changes.values())
    return "outputs after the next step", worst


@check("new-process", "hard", needs=("builds", "deterministic", "same-training", "state-dict", "made-once", "resume"))
def new_process(subject: ModelUnderTest) -> Verdict:
    """So it does in a new process."""
    source = subject.importable
    if source is None:
        return skipped("no other process can import the class: it stands in no file, or not at the top of one")
    saved, expected = subject.once(interrupted)
    request = {
        "source": as_plain(source),
        "hyper": subject.hyper,
        "sizes": {
            "input_size": subject.input_size,
            "hidden_size": subject.hidden_size,
            "device": subject.device,
        },
        "shortened": subject.shortened,
        "saved": saved,
    }
    try:
        found = Continued(**ask("go on", request))
    except SpawnedError as error:
        return failed(f"there: {error}", "define the class at the top of a file that can be imported on its own")
    what, change = _difference(found, expected, TOLERANCE)
    if change > TOLERANCE:
        return failed(
            f"{what} differ there by {change:.2g} times the largest",
            "let nothing depend on the process: no clock, no environment variable, no order of a set, no global",
        )
    return passed(f"largest difference {change:.1g}")
