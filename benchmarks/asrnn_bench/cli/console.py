"""Open the console that every verb prints to."""

import os

from rich.console import Console

UNBOUNDED = 250
"""Columns where nobody looks: in a pipe or a file a row of a table is a line, for grep."""


def open_console() -> Console:
    """Return the console of standard output, as wide as the terminal, as ``COLUMNS`` says, or as lines need."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBOUNDED
    return console
