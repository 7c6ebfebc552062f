"""Write the results of a search: all trials as CSV, and the best settings as the TOML tables of a suite."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from asrnn_bench.planning.settings import Settings
from asrnn_bench.planning.trials import DRAWN
from asrnn_bench.records.job import TrainingConfig
from asrnn_bench.search.climbing import Result
from asrnn_bench.search.halving import Group

TRAINING = (
    *("optimizer", "learning_rate", "structured_learning_rate", "momentum", "weight_decay", "gradient_clip_norm"),
    *("schedule", "schedule_steps", "schedule_factor"),
)
"""The settings of a training; each has a column."""

COLUMNS = (
    *("task", "model", "trial", "rung", "status", "reason", "val_accuracy", "best_step", "published"),
    *TRAINING,
    "hyper",
)

Tables = dict[str, dict[str, Settings]]
"""Settings by task and model."""


def trials_csv(results: Iterable[Result]) -> str:
    """Return all trials of all rungs as CSV, ordered by task, model, trial and rung.

    ``rung`` is in optimiser steps; ``published`` names the source of the settings of a first trial.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for result in sorted(results, key=lambda each: (*_place(each), each.trial.number, each.steps)):
        record, training = result.record, result.trial.whole.training
        scores = record.scores
        score = (f"{scores.val_accuracy:.4f}", scores.best_step) if scores else ("", "")
        origin = result.trial.settings.origin
        row = [*_place(result), result.trial.number, result.steps, record.status, record.reason or "", *score]
        row += ["" if origin == DRAWN else origin, *(_cell(training, name) for name in TRAINING)]
        table.writerow([*row, _json(result.trial.settings.hyper)])
    return text.getvalue()


def best(results: Iterable[Result]) -> dict[Group, Result]:
    """Return the best result of each group by validation accuracy, and the first of equals.

    It is from the last rung at which a trial of the group has a score.
    """
    found: dict[Group, Result] = {}
    for result in results:
        if result.record.scores is not None and (
            result.group not in found or _merit(result) > _merit(found[result.group])
        ):
            found[result.group] = result
    return found


def settings_found(results: Iterable[Result], csv_name: str, same_as: Mapping[str, str]) -> Tables:
    """Return the settings of the best trials. A task without a search gets the settings of another task.

    Args:
        results: the results of all rungs.
        csv_name: the file of the trials; the origin of each setting names it.
        same_as: for each task without a search, the task whose settings it gets.
    """
    found: Tables = {}
    for group, result in best(results).items():
        origin = f"{csv_name}, {group.task}, trial {result.trial.number}"
        if result.trial.settings.origin != DRAWN:
            origin += f", which is {result.trial.settings.origin}"
        chosen = result.trial.settings.model_copy(update={"origin": origin})
        found.setdefault(group.task, {})[group.model] = chosen
    twins = {task: found[twin] for task, twin in same_as.items() if twin in found and task not in found}
    return found | twins


def settings_toml(settings: Tables) -> str:
    """Return settings as the TOML tables of a suite."""
    lines: list[str] = []
    for task, models in settings.items():
        for model, chosen in models.items():
            lines += [f"[settings.{task}.{model}]"]
            always: dict[str, Any] = {
                "origin": chosen.origin,
                "optimizer": chosen.optimizer,
                "learning_rate": chosen.learning_rate,
            }
            named = always | chosen.model_dump(exclude_defaults=True, exclude={"hyper"})
            lines += [f"{name} = {_json(value)}" for name, value in named.items()]
            if chosen.hyper:
                lines.append("hyper = { " + ", ".join(f"{k} = {_json(v)}" for k, v in chosen.hyper.items()) + " }")
            lines.append("")
    return "\n".join(lines)


def _merit(result: Result) -> tuple[int, float, int]:
    scores = result.record.scores
    return result.steps, scores.val_accuracy if scores else -1.0, -result.trial.number


def _place(result: Result) -> tuple[str, str]:
    return result.group.task, result.group.model


def _cell(training: TrainingConfig, name: str) -> str:
    value = getattr(training, name)
    unused = (name == "momentum" and training.optimizer != "sgd") or value in (None, [])
    return "" if unused else value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """Return a value as JSON, which for the values of suites is also TOML."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
