"""Name the flags that several verbs have, so that each is read in one way."""

from pathlib import Path
from typing import Annotated

import typer

from asrnn_bench.paths import expanded

FOLDERS = "Folders"

Folder = Annotated[Path, typer.Argument(metavar="DIR", parser=expanded, help="The --output folder of a run.")]

DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=expanded,
        rich_help_panel=FOLDERS,
        help="Data, as torchvision has it; else $ASRNN_DATA_DIR, then ./data.",
    ),
]
