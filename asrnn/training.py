"""Train and test a model that classifies sequences, as a LightningModule."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import index
from typing import Any, Literal, SupportsIndex, get_args

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, SumMetric
from torchmetrics.classification import MulticlassAccuracy

from asrnn.cells import RecurrentCell
from asrnn.errors import UnknownNameError, UsageError
from asrnn.models import RecurrentModel, assemble
from asrnn.registry import find_model

OptimizerName = Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "steps"]
Batch = tuple[Tensor, Tensor]


class SequenceClassifier(LightningModule):
    """Learns to name the class of a sequence, by cross-entropy.

    It logs ``train/loss`` of each step, and over each evaluation ``val/accuracy``, ``val/loss`` and
    ``val/samples``, likewise ``test/``: means over samples, whatever the batches, and the number of samples. Where
    several processes train together (DDP), each with an equal share of a batch, all of them log what one alone would.

    >>> from asrnn import build_model
    >>> model = build_model("antisymmetric", input_size=1, hidden_size=64, num_outputs=10)
    >>> classifier = SequenceClassifier(model, optimizer="adagrad", learning_rate=0.1)

    Its checkpoints hold all arguments. ``load_from_checkpoint(path)`` builds the model if
    :func:`asrnn.models.build_model` built it from a built-in cell's name; any other is given:
    ``load_from_checkpoint(path, model=model)``.

    Args:
        model: maps sequences ``[B, T, I]`` to logits ``[B, C]``; or a mapping from which one is built, with the name of
            a built-in cell as ``model``, ``input_size``, ``hidden_size``, ``num_outputs`` and, if any, ``hyper``.
        num_classes: the number of classes C.
        optimizer: ``sgd``, ``adagrad``, ``rmsprop``, ``adam`` or ``adamw``; torch's, fused on a CPU where that can be.
        learning_rate: at the first step.
        structured_learning_rate: the rate of the parameters that the model's cells name in
            :attr:`asrnn.cells.parts.recurrent_cell.RecurrentCell.structured`. They then have no weight decay. None
            trains them as all others.
        momentum: of ``sgd`` only.
        weight_decay: decoupled from the gradient in ``adamw``, added to it in the others, as torch does.
        gradient_clip_norm: scale gradients whose joint 2-norm is above this; None leaves them.
        schedule: ``constant``; ``cosine``: half a cosine from the learning rate to 0; or ``steps``, as torch's
            ``MultiStepLR``: multiplied by ``schedule_factor`` after each of ``schedule_steps``.
        schedule_steps: the optimiser steps that ``cosine`` takes, after which the rate stays 0; of ``steps`` a list,
            in which they grow. ``constant`` takes none.
        schedule_factor: of ``steps`` only, above 0 and below 1.

    Raises:
        UsageError: an optimiser or schedule is unknown, a number is out of its range, or there is no model.
    """

    def __init__(
        self,
        model: nn.Module | Mapping[str, Any] | None = None,
        *,
        num_classes: int = 10,
        optimizer: OptimizerName = "adam",
        learning_rate: float = 1e-3,
        structured_learning_rate: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        gradient_clip_norm: float | None = None,
        schedule: ScheduleName = "constant",
        schedule_steps: int | Sequence[int] | None = None,
        schedule_factor: float | None = None,
    ) -> None:
        super().__init__()
        _check_known("optimizer", optimizer, get_args(OptimizerName))
        _check_known("schedule", schedule, get_args(ScheduleName))
        _check(learning_rate > 0, "learning_rate", "above 0", learning_rate)
        own_rate = structured_learning_rate
        if own_rate is not None:
            _check(own_rate > 0, "structured_learning_rate", "above 0, or None", own_rate)
        _check(0 <= momentum < 1, "momentum", "at least 0 and below 1", momentum)
        _check(weight_decay >= 0, "weight_decay", "at least 0", weight_decay)
        if gradient_clip_norm is not None:
            _check(gradient_clip_norm > 0, "gradient_clip_norm", "above 0, or None", gradient_clip_norm)
        self.model = model if isinstance(model, nn.Module) else _build(model)
        self.optimizer_name = optimizer
        # Plain numbers, so that a checkpoint is read without pickle.
        self.learning_rate = float(learning_rate)
        self.structured_learning_rate = None if own_rate is None else float(own_rate)
        self.momentum = float(momentum)
        self.weight_decay = float(weight_decay)
        self.gradient_clip_norm = None if gradient_clip_norm is None else float(gradient_clip_norm)
        self.schedule_steps = _schedule_steps(schedule, schedule_steps)
        self.schedule_factor = _schedule_factor(schedule, schedule_factor)
        self.save_hyperparameters(
            {
                "model": _arguments_of(self.model),
                "num_classes": int(num_classes),
                "optimizer": optimizer,
                "learning_rate": self.learning_rate,
                "structured_learning_rate": self.structured_learning_rate,
                "momentum": self.momentum,
                "weight_decay": self.weight_decay,
                "gradient_clip_norm": self.gradient_clip_norm,
                "schedule": schedule,
                "schedule_steps": self.schedule_steps,
                "schedule_factor": self.schedule_factor,
            }
        )
        self.num_classes = int(num_classes)
        self.val_metrics = _Metrics(num_classes)
        self.test_metrics = _Metrics(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits, ``[B, T, I]`` to ``[B, C]``."""
        logits: Tensor = self.model(x)
        return logits

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Compute the mean cross-entropy of a batch of sequences ``[B, T, I]`` and labels ``[B]``."""
        x, labels = batch
        loss = F.cross_entropy(_widened(self(x)), labels)
        # The mean over ranks, so that all of them see the same loss and stop at the same step where it is not finite.
        self.log("train/loss", loss, batch_size=len(labels), prog_bar=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Count a batch into ``val/accuracy``, ``val/loss`` and ``val/samples``."""
        self._evaluate("val", self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Count a batch into ``test/accuracy``, ``test/loss`` and ``test/samples``.

        Returns:
            in ``correct``, ``[B]``, which samples were classified rightly, for callbacks.
        """
        return {"correct": self._evaluate("test", self.test_metrics, batch)}

    def predict_step(self, batch: Tensor | Batch, batch_index: int, dataloader_index: int = 0) -> Tensor:
        """Compute the logits ``[B, C]`` of sequences ``[B, T, I]``, which may come with their labels."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self(x) if len(x) else x.new_empty(0, self.num_classes)  # another rank has the rest

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimiser, and the schedule where the rate is not constant.

        Raises:
            UsageError: there is nothing to train, or no parameter for ``structured_learning_rate``.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UsageError(f"{type(self.model).__name__} has no parameter to train: validate or test it without fit")
        optimizer = self._optimizer()
        if self.schedule_steps is None:
            return optimizer
        # torch's CosineAnnealingLR is periodic: trained past its end, it would raise the rate again.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_the_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share_of_the_rate(self, step: int) -> float:
        """Return what the learning rate is multiplied by after some steps."""
        if isinstance(self.schedule_steps, list):
            return float(self.schedule_factor or 1.0) ** bisect_right(self.schedule_steps, step)
        return 0.5 * (1 + math.cos(math.pi * min(step / (self.schedule_steps or 1), 1.0)))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip to ``gradient_clip_norm`` where it is given, else as the Trainer was told to."""
        if self.gradient_clip_norm is not None:
            gradient_clip_val, gradient_clip_algorithm = self.gradient_clip_norm, "norm"
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters, rate, decay = self._groups(), self.learning_rate, self.weight_decay
        fused = self._takes_fused_steps() or None
        match self.optimizer_name:
            case "sgd":
                return torch.optim.SGD(parameters, rate, momentum=self.momentum, weight_decay=decay)
            case "adagrad":
                return torch.optim.Adagrad(parameters, rate, weight_decay=decay, fused=fused)
            case "rmsprop":
                return torch.optim.RMSprop(parameters, rate, weight_decay=decay)
            case "adam":
                return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=fused)
            case "adamw":
                return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=fused)

    def _takes_fused_steps(self) -> bool:
        """Whether one kernel may take an optimiser's whole step: on the CPU, for real parameters that lie in one piece.

        It reads memory in its order, whatever the strides. SGD's fails where a parameter has its first gradient later
        than another, and RMSprop has none. In mixed precision Lightning does not clip for such an optimiser.
        """
        mixed = self._trainer is not None and str(self._trainer.precision).endswith("mixed")
        return not mixed and all(
            parameter.device.type == "cpu" and parameter.is_floating_point() and parameter.is_contiguous()
            for parameter in self.model.parameters()
        )

    def _groups(self) -> list[dict[str, Any]]:
        """Return the model's parameters, those with a learning rate of their own apart."""
        everything, own_rate = list(self.model.parameters()), self.structured_learning_rate
        if own_rate is None:
            return [{"params": everything}]
        cells = [module for module in self.model.modules() if isinstance(module, RecurrentCell)]
        structured = [cell.get_parameter(name) for cell in cells for name in cell.structured]
        if not structured:
            raise UsageError("structured_learning_rate is for models whose cells have structured parameters; remove it")
        others = [parameter for parameter in everything if all(parameter is not each for each in structured)]
        return [{"params": others}, {"params": structured, "lr": own_rate, "weight_decay": 0.0}]

    def _evaluate(self, stage: str, metrics: "_Metrics", batch: Batch) -> Tensor:
        x, labels = batch
        correct = torch.zeros_like(labels, dtype=torch.bool)
        if len(labels):  # or another rank has the rest, and this one only logs, as what is logged is gathered from all
            logits = _widened(self(x))
            correct = logits.argmax(dim=1) == labels
            metrics.accuracy.update(logits, labels)
            # A loss a sample: torchmetrics 1.9 forgets the weights of a MeanMetric that keeps NaN.
            metrics.loss.update(F.cross_entropy(logits, labels, reduction="none"))
            metrics.samples.update(len(labels))
        self.log(f"{stage}/accuracy", metrics.accuracy, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{stage}/loss", metrics.loss, on_step=False, on_epoch=True)
        self.log(f"{stage}/samples", metrics.samples, on_step=False, on_epoch=True)
        return correct


class _Metrics(nn.Module):
    """What one evaluation counts. A loss that is not a number stays one: it must not be averaged away."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.loss = MeanMetric(nan_strategy="disable")
        self.samples = SumMetric(nan_strategy="disable")


def _widened(logits: Tensor) -> Tensor:
    """Return logits as float32 where they are narrower: a loss in bfloat16 has two digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _arguments_of(model: nn.Module) -> dict[str, Any] | None:
    """Return what builds a model anew, if it is a registered one, as plain values; None for any other."""
    arguments = model.arguments if isinstance(model, RecurrentModel) else None
    return dict(arguments) if arguments is not None and _is_plain(arguments) else None


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


def _build(arguments: Mapping[str, Any] | None) -> RecurrentModel:
    """Build a model from what a checkpoint or a configuration says, which may come from others: built-in cells only."""
    if arguments is None:
        raise UsageError("there is no model: give one, as in load_from_checkpoint(path, model=model)")
    name = str(arguments.get("model"))
    if ":" in name or find_model(name).origin != "built-in":
        raise UsageError(f"only built-in cells are built from their names, not '{name}': give the model itself")
    sizes = {key: value for key, value in arguments.items() if key not in ("model", "hyper")}
    return assemble(name, arguments.get("hyper", {}), **sizes)


def _schedule_steps(schedule: str, steps: int | Sequence[int] | None) -> int | list[int] | None:
    """Return the steps of a schedule as plain numbers, which a checkpoint holds; None for ``constant``."""
    if schedule == "cosine":
        _check(isinstance(steps, SupportsIndex) and index(steps) > 0, "schedule_steps", "above 0 for 'cosine'", steps)
        return index(steps)  # type: ignore[arg-type]
    if schedule == "steps":
        given = list(steps) if isinstance(steps, Iterable) else []
        found = [index(step) for step in given if isinstance(step, SupportsIndex)]
        grow = bool(found) and found[0] > 0 and all(first < second for first, second in pairwise(found))
        _check(grow and len(found) == len(given), "schedule_steps", "growing numbers above 0 for 'steps'", steps)
        return found
    return None


def _schedule_factor(schedule: str, factor: float | None) -> float | None:
    if schedule != "steps":
        return None
    _check(factor is not None and 0 < factor < 1, "schedule_factor", "above 0 and below 1 for 'steps'", factor)
    return float(factor)  # type: ignore[arg-type]


def _check(holds: bool, name: str, needed: str, value: object) -> None:
    if not holds:
        raise UsageError(f"{name} must be {needed}, not {value!r}")


def _check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)
