"""Select the weights with the best validation accuracy, record the curve, and detect divergence."""

import copy
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from asrnn_bench.records.record import CurvePoint


class DivergedError(Exception):
    """The loss is no longer finite. This is a finding about the model, not a fault of the run."""


class Selection(Callback):
    """Keep the weights with the best validation accuracy (the earliest of equals), and the curve.

    Args:
        metrics: the file to which each point of the curve is appended; None on ranks that write nothing.
    """

    def __init__(self, metrics: Path | None) -> None:
        self.metrics = metrics
        self.curve: list[CurvePoint] = []
        self.best: CurvePoint | None = None
        self.val_samples = 0
        self.weights: dict[str, Any] = {}  # a state dict: tensors, and values of any type from get_extra_state
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the curve, the best weights so far and the losses since the last validation."""
        return {
            "curve": [point.model_dump() for point in self.curve],
            "val_samples": self.val_samples,
            "weights": self.weights,
            "losses": torch.stack(self._losses) if self._losses else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state_dict`; the curve so far is written into the file of this attempt."""
        self.curve = [CurvePoint.model_validate(point) for point in state_dict["curve"]]
        self.best = max(self.curve, key=lambda point: (point.val_accuracy, -point.step), default=None)
        self.val_samples, self.weights = state_dict["val_samples"], state_dict["weights"]
        self._losses = [] if state_dict["losses"] is None else list(state_dict["losses"])
        for point in self.curve:
            self._write(point)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss, which is the mean over all ranks, and stop if it is not finite."""
        loss = outputs["loss"] if trainer.world_size == 1 else trainer.callback_metrics["train/loss"]
        if not math.isfinite(loss.item()):
            raise DivergedError(f"the training loss became {loss.item()} at step {trainer.global_step}")
        self._losses.append(loss.detach().cpu())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add a point to the curve, and keep the weights if it is the best."""
        measured = trainer.callback_metrics
        val_loss = float(measured["val/loss"])
        if not math.isfinite(val_loss):
            raise DivergedError(f"the validation loss became {val_loss} at step {trainer.global_step}")
        point = CurvePoint(
            step=trainer.global_step,
            train_loss=float(torch.stack(self._losses).double().mean()) if self._losses else None,
            val_accuracy=exact_share(float(measured["val/accuracy"]), int(measured["val/samples"])),
            val_loss=val_loss,
        )
        self._losses.clear()
        self.curve.append(point)
        self._write(point)
        if self.best is None or point.val_accuracy > self.best.val_accuracy:
            self.best = point
            self.val_samples = int(measured["val/samples"])
            state = pl_module.model.state_dict()  # type: ignore[union-attr]
            self.weights = {name: _copied(value) for name, value in state.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the best weights for safetensors: without extra state, and complex128 as pairs of real numbers."""
        tensors = {name: value for name, value in self.weights.items() if isinstance(value, Tensor)}
        return {
            name: torch.view_as_real(value) if value.dtype == torch.complex128 else value
            for name, value in tensors.items()
        }

    def _write(self, point: CurvePoint) -> None:
        if self.metrics is not None:
            # Only for people who watch, so a failure is ignored: checkpoints and the result hold the curve.
            with suppress(OSError), self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(point.model_dump(), allow_nan=False) + "\n")


def _copied(value: Any) -> Any:
    """Copy an entry of a state dict; a tensor becomes contiguous, because safetensors keeps no strides."""
    return value.detach().cpu().contiguous().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def exact_share(accuracy: float, samples: int) -> float:
    """Return the accuracy as an exact fraction of ``samples``, without the float32 rounding of the metric."""
    return round(accuracy * samples) / samples
