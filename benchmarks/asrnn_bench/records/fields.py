"""Define the types of the fields of jobs and records."""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

LARGEST_NUMBER = 2**63 - 1
"""The largest whole number that tables can hold."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name that is safe as a part of a path, in TOML, in CSV and on the command line."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Size = Annotated[int, Field(gt=0, le=LARGEST_NUMBER)]
Amount = Annotated[float, Field(ge=0, le=1e15)]


class Frozen(BaseModel):
    """A pydantic model that cannot be changed and refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
