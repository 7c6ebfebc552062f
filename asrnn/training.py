"""Train and test a model that classifies sequences, as a LightningModule."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, get_args

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, SumMetric
from torchmetrics.classification import MulticlassAccuracy

from asrnn.errors import UnknownNameError, UsageError
from asrnn.models import RecurrentModel, assemble
from asrnn.optimizer_names import OptimizerName, ScheduleName
from asrnn.optimizers import (
    build_optimizer,
    can_be_fused,
    check_range,
    checked_schedule_factor,
    checked_schedule_steps,
    rate_factor,
)
from asrnn.registry import find_model

Batch = tuple[Tensor, Tensor]


class SequenceClassifier(LightningModule):
    """Train a model to classify sequences, with cross-entropy as the loss.

    It logs ``train/loss`` in each step, and ``val/accuracy``, ``val/loss`` and ``val/samples`` in each evaluation, or
    the same with ``test/``. They are means over samples, which do not depend on the batches, and the sample count.
    If several processes train together (DDP), each with an equal share of a batch, all log the values of a single one.

    >>> from asrnn import build_model
    >>> model = build_model("antisymmetric", input_size=1, hidden_size=64, num_outputs=10)
    >>> classifier = SequenceClassifier(model, optimizer="adagrad", learning_rate=0.1)

    Its checkpoints hold all arguments. ``load_from_checkpoint(path)`` builds the model again if
    :func:`asrnn.models.build_model` built it from the name of a built-in cell. Pass any other model:
    ``load_from_checkpoint(path, model=model)``.

    Args:
        model: a module that maps sequences ``[B, T, I]`` to logits ``[B, C]``; or a mapping to build one from: the
            name of a built-in cell as ``model``, ``input_size``, ``hidden_size``, ``num_outputs`` and ``hyper``.
        num_classes: the number of classes C.
        optimizer: ``sgd``, ``adagrad``, ``rmsprop``, ``adam`` or ``adamw`` of torch, fused on a CPU if possible.
        learning_rate: the learning rate at the first step.
        structured_learning_rate: the rate of the parameters that the model's cells name in
            :attr:`asrnn.cells.parts.recurrent_cell.RecurrentCell.structured`. They then have no weight decay. None
            trains them as all others.
        momentum: the momentum of ``sgd``; the others ignore it.
        weight_decay: decoupled from the gradient in ``adamw``, added to it in the others, as torch does.
        gradient_clip_norm: the largest joint 2-norm of the gradients, to which they are scaled; None does not clip.
        schedule: the schedule of the learning rate: ``constant``; ``cosine``, half a cosine from the learning rate to
            0; or ``steps``, which multiplies the rate by ``schedule_factor`` after each of ``schedule_steps``, as
            torch's ``MultiStepLR`` does.
        schedule_steps: for ``cosine``, the number of optimiser steps until the rate is 0, where it stays; for
            ``steps``, a growing list of steps; for ``constant``, None.
        schedule_factor: the factor of ``steps``, above 0 and below 1; None for the other schedules.

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
        check_range(learning_rate > 0, "learning_rate", "above 0", learning_rate)
        own_rate = structured_learning_rate
        if own_rate is not None:
            check_range(own_rate > 0, "structured_learning_rate", "above 0, or None", own_rate)
        check_range(0 <= momentum < 1, "momentum", "at least 0 and below 1", momentum)
        check_range(weight_decay >= 0, "weight_decay", "at least 0", weight_decay)
        if gradient_clip_norm is not None:
            check_range(gradient_clip_norm > 0, "gradient_clip_norm", "above 0, or None", gradient_clip_norm)
        self.model = model if isinstance(model, nn.Module) else _build(model)
        self.optimizer_name = optimizer
        # Plain numbers, so that a checkpoint is read without pickle.
        self.learning_rate = float(learning_rate)
        self.structured_learning_rate = None if own_rate is None else float(own_rate)
        self.momentum = float(momentum)
        self.weight_decay = float(weight_decay)
        self.gradient_clip_norm = None if gradient_clip_norm is None else float(gradient_clip_norm)
        self.schedule_steps = checked_schedule_steps(schedule, schedule_steps)
        self.schedule_factor = checked_schedule_factor(schedule, schedule_factor)
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
        """Add a batch to ``val/accuracy``, ``val/loss`` and ``val/samples``."""
        self._evaluate("val", self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Add a batch to ``test/accuracy``, ``test/loss`` and ``test/samples``.

        Returns:
            ``correct``, ``[B]``, says which samples were classified correctly, for callbacks.
        """
        return {"correct": self._evaluate("test", self.test_metrics, batch)}

    def predict_step(self, batch: Tensor | Batch, batch_index: int, dataloader_index: int = 0) -> Tensor:
        """Compute the logits ``[B, C]`` of sequences ``[B, T, I]``, which may come with their labels."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self(x) if len(x) else x.new_empty(0, self.num_classes)  # another rank has the rest

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser, and the schedule if the learning rate is not constant.

        Raises:
            UsageError: there is nothing to train, or no parameter for ``structured_learning_rate``.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UsageError(f"{type(self.model).__name__} has no parameter to train: validate or test it without fit")
        optimizer = build_optimizer(
            self.model,
            self.optimizer_name,
            learning_rate=self.learning_rate,
            structured_learning_rate=self.structured_learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=self._takes_fused_steps(),
        )
        if self.schedule_steps is None:
            return optimizer
        factor = partial(rate_factor, schedule_steps=self.schedule_steps, schedule_factor=self.schedule_factor)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients to ``gradient_clip_norm`` if it is given, else as the Trainer was told to."""
        if self.gradient_clip_norm is not None:
            gradient_clip_val, gradient_clip_algorithm = self.gradient_clip_norm, "norm"
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _takes_fused_steps(self) -> bool:
        # In mixed precision Lightning does not clip for an optimiser whose whole step is one kernel.
        mixed = self._trainer is not None and str(self._trainer.precision).endswith("mixed")
        return not mixed and can_be_fused(self.model)

    def _evaluate(self, stage: str, metrics: "_Metrics", batch: Batch) -> Tensor:
        x, labels = batch
        correct = torch.zeros_like(labels, dtype=torch.bool)
        # Without labels another rank has the rest, and this one only logs: metrics are gathered from all ranks.
        if len(labels):
            logits = _widened(self(x))
            correct = logits.argmax(dim=1) == labels
            metrics.accuracy.update(logits, labels)
            # One loss for each sample: torchmetrics 1.9 forgets the weights of a MeanMetric that keeps NaN.
            metrics.loss.update(F.cross_entropy(logits, labels, reduction="none"))
            metrics.samples.update(len(labels))
        self.log(f"{stage}/accuracy", metrics.accuracy, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{stage}/loss", metrics.loss, on_step=False, on_epoch=True)
        self.log(f"{stage}/samples", metrics.samples, on_step=False, on_epoch=True)
        return correct


class _Metrics(nn.Module):
    """The metrics of one evaluation. A loss that is not a number makes the mean one, so that it is seen."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.loss = MeanMetric(nan_strategy="disable")
        self.samples = SumMetric(nan_strategy="disable")


def _widened(logits: Tensor) -> Tensor:
    """Return narrower logits as float32, because a loss in bfloat16 has two digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _arguments_of(model: nn.Module) -> dict[str, Any] | None:
    """Return the arguments that build a model again, as plain values; None if the model is not a registered one."""
    arguments = model.arguments if isinstance(model, RecurrentModel) else None
    return dict(arguments) if arguments is not None and _is_plain(arguments) else None


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


def _build(arguments: Mapping[str, Any] | None) -> RecurrentModel:
    """Build a model from a checkpoint or a configuration; built-in cells only, because a file may come from others."""
    if arguments is None:
        raise UsageError("there is no model: give one, as in load_from_checkpoint(path, model=model)")
    name = str(arguments.get("model"))
    if ":" in name or find_model(name).origin != "built-in":
        raise UsageError(f"only built-in cells are built from their names, not '{name}': give the model itself")
    sizes = {key: value for key, value in arguments.items() if key not in ("model", "hyper")}
    return assemble(name, arguments.get("hyper", {}), **sizes)


def _check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)
