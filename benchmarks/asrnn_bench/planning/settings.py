"""Define the settings that a suite gives to a model on a task."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, field_validator, model_validator

from asrnn.optimizer_names import OptimizerName, ScheduleName
from asrnn_bench.planning.values import Argument, Plain, Strict, Words
from asrnn_bench.records.fields import Size
from asrnn_bench.records.job import check_schedule


class Scheduled(Strict):
    """A part of a suite file that may name a schedule of the learning rate."""

    schedule: ScheduleName | None = None
    schedule_steps: list[Size] = []
    schedule_factor: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        check_schedule(self.schedule, self.schedule_steps, self.schedule_factor)
        return self


class Settings(Scheduled):
    """The hyper-parameters of a model on a task: those of the training, and in ``hyper`` those of the cell.

    ``origin`` says where they come from.
    """

    origin: Words
    optimizer: OptimizerName = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    structured_learning_rate: float | None = Field(default=None, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    hyper: dict[Argument, Plain] = {}

    @field_validator("hyper")
    @classmethod
    def _leaves_the_rest_to_the_run(cls, hyper: dict[str, Plain]) -> dict[str, Plain]:
        """Refuse an argument that a run itself gives to every model."""
        for name in ("model", "input_size", "hidden_size", "num_outputs", "seed"):
            if name in hyper:
                raise ValueError(f"'{name}' is not a hyper-parameter, as a run gives it to every model; remove it")
        return hyper


MAY_BE_NONE = ("gradient_clip_norm", "structured_learning_rate")
"""The settings for which a search may try ``"none"``, which leaves them out."""


def settings_of(values: Mapping[str, Plain], origin: str) -> Settings:
    """Return settings from values by name. A name that is not a setting of the training belongs to the cell."""
    hyper = {name: value for name, value in values.items() if name not in Settings.model_fields}
    left_out = {name for name in MAY_BE_NONE if values.get(name) == "none"}
    own = {name: value for name, value in values.items() if name not in hyper and name not in left_out}
    return Settings.model_validate({**own, "origin": origin, "hyper": hyper})
