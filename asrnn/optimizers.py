"""Build the optimiser of a model and the schedule of its learning rate, and check their settings."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import index
from typing import Any, SupportsIndex

import torch
from torch import nn

from asrnn.cells import RecurrentCell
from asrnn.errors import UsageError
from asrnn.optimizer_names import OptimizerName


def build_optimizer(
    model: nn.Module,
    name: OptimizerName,
    *,
    learning_rate: float,
    structured_learning_rate: float | None,
    momentum: float,
    weight_decay: float,
    fused: bool,
) -> torch.optim.Optimizer:
    """Build torch's optimiser of a name for the parameters of a model.

    Args:
        model: the model to train.
        name: the optimiser.
        learning_rate: at the first step.
        structured_learning_rate: that of the cells' structured parameters; None gives them the same as all others.
        momentum: of ``sgd`` only.
        weight_decay: of all parameters but those with a learning rate of their own.
        fused: let one kernel take a whole step, where the optimiser has one that can.

    Raises:
        UsageError: no parameter can take ``structured_learning_rate``.
    """
    groups = parameter_groups(model, structured_learning_rate)
    one_kernel = fused or None
    match name:
        case "sgd":
            return torch.optim.SGD(groups, learning_rate, momentum=momentum, weight_decay=weight_decay)
        case "adagrad":
            return torch.optim.Adagrad(groups, learning_rate, weight_decay=weight_decay, fused=one_kernel)
        case "rmsprop":
            return torch.optim.RMSprop(groups, learning_rate, weight_decay=weight_decay)
        case "adam":
            return torch.optim.Adam(groups, learning_rate, weight_decay=weight_decay, fused=one_kernel)
        case "adamw":
            return torch.optim.AdamW(groups, learning_rate, weight_decay=weight_decay, fused=one_kernel)


def parameter_groups(model: nn.Module, structured_learning_rate: float | None) -> list[dict[str, Any]]:
    """Return the parameters of a model in groups: those with a learning rate of their own, if any, come second.

    Raises:
        UsageError: there is such a rate, and no cell of the model has structured parameters.
    """
    parameters = list(model.parameters())
    if structured_learning_rate is None:
        return [{"params": parameters}]
    cells = [module for module in model.modules() if isinstance(module, RecurrentCell)]
    structured = [cell.get_parameter(name) for cell in cells for name in cell.structured]
    if not structured:
        raise UsageError("structured_learning_rate is for models whose cells have structured parameters; remove it")
    others = [parameter for parameter in parameters if all(parameter is not each for each in structured)]
    return [{"params": others}, {"params": structured, "lr": structured_learning_rate, "weight_decay": 0.0}]


def can_be_fused(model: nn.Module) -> bool:
    """Return whether one kernel can take an optimiser's whole step: on the CPU, for real parameters in one piece.

    The kernel reads memory in its order, whatever the strides. That of SGD fails where a parameter has its first
    gradient later than another, and RMSprop has none.
    """
    return all(
        parameter.device.type == "cpu" and parameter.is_floating_point() and parameter.is_contiguous()
        for parameter in model.parameters()
    )


def rate_factor(step: int, schedule_steps: int | list[int], schedule_factor: float | None) -> float:
    """Return what the learning rate is multiplied by after some steps.

    Args:
        step: how many optimiser steps were taken.
        schedule_steps: a list for ``steps``, else the number of steps of ``cosine``.
        schedule_factor: of ``steps`` only.
    """
    if isinstance(schedule_steps, list):
        return float(schedule_factor or 1.0) ** bisect_right(schedule_steps, step)
    # torch's CosineAnnealingLR is periodic: trained past its end, it would raise the rate again.
    return 0.5 * (1 + math.cos(math.pi * min(step / schedule_steps, 1.0)))


def checked_schedule_steps(schedule: str, steps: int | Sequence[int] | None) -> int | list[int] | None:
    """Check the steps of a schedule, and return them as Python integers, which a checkpoint can store.

    ``cosine`` has one number above 0, ``steps`` a list of growing numbers above 0, and ``constant`` has None.

    Raises:
        UsageError: the steps have another form.
    """
    if schedule == "cosine":
        check_range(
            isinstance(steps, SupportsIndex) and index(steps) > 0, "schedule_steps", "above 0 for 'cosine'", steps
        )
        return index(steps)  # type: ignore[arg-type]
    if schedule == "steps":
        given = list(steps) if isinstance(steps, Iterable) else []
        found = [index(step) for step in given if isinstance(step, SupportsIndex)]
        grow = bool(found) and found[0] > 0 and all(first < second for first, second in pairwise(found))
        check_range(grow and len(found) == len(given), "schedule_steps", "growing numbers above 0 for 'steps'", steps)
        return found
    return None


def checked_schedule_factor(schedule: str, factor: float | None) -> float | None:
    """Return the factor of a schedule, None where it has none.

    Raises:
        UsageError: the schedule is ``steps``, and the factor is not between 0 and 1.
    """
    if schedule != "steps":
        return None
    check_range(factor is not None and 0 < factor < 1, "schedule_factor", "above 0 and below 1 for 'steps'", factor)
    return float(factor)  # type: ignore[arg-type]


def check_range(holds: bool, name: str, needed: str, value: object) -> None:
    """Refuse a setting that is out of its range.

    Raises:
        UsageError: it does not hold.
    """
    if not holds:
        raise UsageError(f"{name} must be {needed}, not {value!r}")
